from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from sonic.client.fallback import keeper
from sonic.client.fallback.owned import OwnedProcess
from sonic.testing.conformance import WAIT_S

RUNNING = "import signal, os; print('engine', os.getpid(), flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {RUNNING}"


def kept(program: str, stop: list[str], grace_s: float = WAIT_S) -> OwnedProcess:
    return OwnedProcess("engine", keeper.command([sys.executable, "-c", program], stop, grace_s))


def engine_of(process: OwnedProcess) -> psutil.Process:
    while "\n" not in (log := process.log()) and not process.wait(0.01):
        pass
    return psutil.Process(int(log.split()[1]))


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "stopped"


@pytest.fixture
def stop(note: Path) -> list[str]:
    return [sys.executable, "-c", f"open({str(note)!r}, 'w').write('yes')"]


def test_it_stops_the_container_with_its_owner(note: Path, stop: list[str]) -> None:
    process = kept(RUNNING, stop)
    try:
        engine = engine_of(process)
        assert engine.is_running()
        process.close(WAIT_S)
        assert process.status == 128 + signal.SIGTERM
        assert note.read_text() == "yes"
        assert not psutil.wait_procs([engine], timeout=WAIT_S)[1]
    finally:
        process.close(0)


def test_it_kills_an_engine_that_does_not_end(note: Path, stop: list[str]) -> None:
    process = kept(STUBBORN, stop, grace_s=0.0)
    try:
        engine = engine_of(process)
        process.close(WAIT_S)
        assert process.status == 128 + signal.SIGKILL
        assert note.exists()
        assert not psutil.wait_procs([engine], timeout=WAIT_S)[1]
    finally:
        process.close(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_too(note: Path, stop: list[str], number: signal.Signals) -> None:
    process = kept(RUNNING, stop)
    try:
        engine_of(process)
        os.kill(process.pid, number)
        assert process.wait(WAIT_S)
        assert note.exists()
    finally:
        process.close(0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it takes the owner to end it")
def test_the_engine_does_not_outlive_it() -> None:
    process = kept(RUNNING, [])
    try:
        engine = engine_of(process)
        os.kill(process.pid, signal.SIGKILL)
        assert not psutil.wait_procs([engine], timeout=WAIT_S)[1]
    finally:
        process.close(0)


def test_an_engine_that_ends_by_itself(note: Path, stop: list[str]) -> None:
    process = kept("import sys; print('no such image'); sys.exit(125)", stop)
    try:
        assert process.wait(WAIT_S)
        assert process.status == 125
        assert process.log() == "no such image\n"
        assert note.exists()  # the engine's process may be gone while its container is not
    finally:
        process.close(0)


def test_no_such_engine() -> None:
    process = OwnedProcess("engine", keeper.command(["/no/such/engine"], [], 1.0))
    try:
        assert process.wait(WAIT_S)
        assert process.status == 127
        assert process.log() == "cannot run /no/such/engine: No such file or directory\n"
    finally:
        process.close(0)


def test_a_stop_command_that_is_not_there() -> None:
    process = kept("pass", ["/no/such/engine", "rm"])
    try:
        assert process.wait(WAIT_S)
        assert process.status == 0
        assert "/no/such/engine cannot end the container" in process.log()
    finally:
        process.close(0)


def test_it_needs_the_standard_library_alone() -> None:
    assert "sonic" not in Path(keeper.__file__).read_text().split("from __future__")[1]
