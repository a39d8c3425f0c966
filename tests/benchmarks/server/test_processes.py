from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from benchmarks.common import pinned
from benchmarks.server.processes import Target, running, sonic_server, wait_until
from sonic.client.url import connect, parse_server

CORES = sorted(os.sched_getaffinity(0))


def test_what_is_started_while_pinned_stays_there_and_nobody_else() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with pinned([core]):
        command = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [str(core)]
    assert os.sched_getaffinity(0) == before


def test_processor_time_is_that_of_children_too(tmp_path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True)\ninput()"
    command = [sys.executable, "-c", parent]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # the child has ended
        target = Target("it", process.pid)
        assert target.cpu_s() >= 0.29
        target.settle()
    finally:
        process.communicate(b"\n")
    with pytest.raises(RuntimeError, match="it has ended"):
        target.cpu_s()


def test_a_process_ends_with_its_block_even_if_it_does_not_want_to(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.server.processes._END_S", 0.2)
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\nsignal.pause()"
    log = tmp_path / "log"
    with running([sys.executable, "-c", deaf], CORES, log) as process:
        wait_until(lambda: log.read_text() == "deaf\n", "deaf", process, log)
    assert process.returncode == -9
    assert not psutil.pid_exists(process.pid)


def test_a_server_that_ends_before_it_is_ready_is_quoted(tmp_path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no models')"]
    quoted = pytest.raises(RuntimeError, match="x ended with status 1; its last lines:\nno models")
    with running(command, CORES, log) as process, quoted:
        wait_until(lambda: False, "x", process, log)


def test_a_server_that_takes_too_long_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.server.processes._START_S", 0.0)
    log = tmp_path / "log"
    late = pytest.raises(RuntimeError, match="x was not ready within 0 s")
    with running([sys.executable, "-c", "import signal; signal.pause()"], CORES, log) as process, late:
        wait_until(lambda: False, "x", process, log)


def test_sonic_serves_on_ports_and_sockets_of_the_core_it_is_given(tmp_path) -> None:
    from benchmarks.server.cases import CASES

    CASES[0].write(tmp_path)
    core = max(os.sched_getaffinity(0))
    with sonic_server("sonic", tmp_path, [core]) as target:
        assert psutil.Process(target.pid).cpu_affinity() == [core]
        for url in (f"grpc://{target.grpc}", f"http://{target.http}", f"http+unix:{target.http_socket}"):
            way = connect(parse_server(url))
            try:
                assert way.ready(timeout_s=10)
            finally:
                way.close()
