from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

import psutil
import pytest

from sonic.client.fallback.owned import OwnedProcess
from sonic.testing.conformance import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

WATCHING = "import sys; print('ready', flush=True); sys.stdin.read(); print('over')"
STUBBORN = "import signal; signal.sigwait([signal.SIGUSR1]) and None"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_it_ends_with_its_lifeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = OwnedProcess("it", python(WATCHING))
    assert list(tmp_path.iterdir()) == []  # nothing that could be left behind
    assert process.status is None
    assert os.getpgid(process.pid) == process.pid
    process.close(WAIT_S)
    assert process.status == 0
    assert process.log() == ""
    process.close()


def test_one_that_does_not_end_is_killed() -> None:
    process = OwnedProcess("it", python(STUBBORN))
    process.close(0)
    assert process.status == -signal.SIGKILL
    assert process.ended() == "was ended by SIGKILL"


def test_its_log() -> None:
    process = OwnedProcess("it", python("import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"))
    try:
        assert process.wait(WAIT_S)
        assert process.ended() == "ended with status 3"
        assert sorted(process.log().split()) == ["a", "b"]
        assert process.text("is gone") == "it is gone: " + " | ".join(process.log().split())
        process.ready()
        assert process.text("is gone") == "it is gone, and printed nothing since it was ready"
    finally:
        process.close()
    silent = OwnedProcess("it", python("pass"))
    try:
        assert silent.wait(WAIT_S)
        assert silent.text("is gone") == "it is gone, and printed nothing"
    finally:
        silent.close()


def test_a_log_of_any_length() -> None:
    process = OwnedProcess("it", python("print('x' * 70000); print('end')"))
    try:
        assert process.wait(WAIT_S)
        assert len(process.log()) == 1 << 16
        assert process.log().endswith("end\n")
    finally:
        process.close()


def test_no_such_command() -> None:
    with pytest.raises(FileNotFoundError):
        OwnedProcess("it", ["/no/such/command"])


def owner_of(program: str) -> OwnedProcess:
    """A process that owns one, writes its number, and then goes on with a program."""
    return OwnedProcess(
        "owner",
        python(
            "import os, sys, time\n"
            "from sonic.client.fallback.owned import OwnedProcess\n"
            f"child = OwnedProcess('child', [sys.executable, '-c', {WATCHING!r}])\n"
            f"{program}\n"
            "print(child.pid, os.getpid(), flush=True)\n"
            "sys.stdin.read()"
        ),
    )


def printed(process: OwnedProcess) -> list[int]:
    while len(words := process.log().split()) < 2 and not process.wait(0.01):
        pass
    return [int(word) for word in words]


def test_it_does_not_outlive_its_owner() -> None:
    # A process that is forked has the lifeline, too; so would one that is started with all of its owner's files.
    owner = owner_of(
        "import subprocess; subprocess.Popen(['sleep', '600'], close_fds=False)\nif not os.fork(): time.sleep(600)"
    )
    try:
        child = psutil.Process(printed(owner)[0])
        os.kill(owner.pid, signal.SIGSTOP)
        os.kill(owner.pid, signal.SIGKILL)
        assert not psutil.wait_procs([child], timeout=WAIT_S)[1]
    finally:
        os.killpg(owner.pid, signal.SIGKILL)  # and what it has forked
        owner.close()


def test_a_forked_process_does_not_end_it() -> None:
    owner = owner_of(
        "forked = os.fork()\nif not forked:\n    child.close(); os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0"
    )
    try:
        child = psutil.Process(printed(owner)[0])
        assert child.is_running()
        owner.close(WAIT_S)
        assert not psutil.wait_procs([child], timeout=WAIT_S)[1]
    finally:
        owner.close()
