from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.protocol.messages import InferRequest
from sonic.server.access.guard import Guard
from sonic.server.access.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.server.app import Server

IDENTITY = """backend: "identity" max_batch_size: 8
input { name: "x" data_type: TYPE_INT32 dims: [ 1 ] } output { name: "y" data_type: TYPE_INT32 dims: [ 1 ] }"""
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "LINES": "20", "TERM": "xterm", "NO_COLOR": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("idle", "next", "one"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(IDENTITY)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """One with traffic."""
    stop = threading.Event()
    with sonic.serve(folder, cores=1) as made:

        def send() -> None:
            while not stop.wait(0.002):
                made.dataplane.infer(InferRequest("one", {"x": np.zeros((4, 1), np.int32)})).exception(10)

        thread = threading.Thread(target=send)
        thread.start()
        yield made
        stop.set()
        thread.join()


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sonic", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=ENVIRONMENT)


@pytest.mark.parametrize("flags", [("--once",), ()])
def test_one_interval_for_a_pipe(flags: tuple[str, ...], server: Server) -> None:
    done = top(server.http_url, "--interval-s", "0.2", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"sonic top {server.http_url}/metrics\n")
    name, version, requests, rows, batch = done.stdout.splitlines()[-1].split()[:5]
    assert (name, version, batch) == ("one", "1", "4")
    assert float(requests) > 1
    assert float(rows.replace(",", "")) > float(requests)


def test_no_server(folder: Path) -> None:
    done = top("http://127.0.0.1:1/metrics", "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"sonic: no answer from http://127.0.0.1:1/metrics: .*\n", done.stderr)


def test_a_server_that_wants_a_token(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("open-sesame ana\n")
    (tmp_path / "mine").write_text("open-sesame\n")
    with sonic.serve(folder, cores=1, metrics_port=None, guard=Guard(Tokens(tmp_path / "tokens"))) as server:
        arguments = (f"{server.http_url}/metrics", "--interval-s", "0.1", "--once")
        done = top(*arguments, "--token-file", str(tmp_path / "mine"))
        assert (done.returncode, done.stderr) == (0, "")
        assert arguments[0] in done.stdout
        done = top(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.match(r"sonic: no metrics at http://.*: it wants a token", done.stderr)
        done = top(*arguments, "--token-file", str(tmp_path / "absent"))
        assert re.fullmatch(r"sonic: cannot read --token-file .*absent: No such file or directory\n", done.stderr)


def test_no_url() -> None:
    done = top("what is this")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sonic: expected a URL like")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_live_in_a_terminal_until_it_is_ended(server: Server, end: signal.Signals) -> None:
    """The view has the lines that the terminal has, goes on when the server is gone, and says so."""
    low = {**ENVIRONMENT, "LINES": "5"}
    own, terminal = pty.openpty()
    command = [sys.executable, "-m", "sonic", "top", server.metrics_url, "--interval-s", "0.1"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=low)
    os.close(terminal)
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    seen = ""

    def until(pattern: str) -> None:
        nonlocal seen
        while not re.search(pattern, seen):
            seen += os.read(own, 65536).decode(errors="replace")
        seen = ""

    try:
        until(r"(?s)1 of 3 models: the busiest.*one +1 +\d")
        server.close()
        until(r"gone for \d+ s, trying on: no answer")
        process.send_signal(end)
        rest = b""
        try:
            while part := os.read(own, 65536):
                rest += part
        except OSError:  # its other end is closed
            pass
        assert process.wait(30) == 0
        assert b"Traceback" not in rest
        assert b"\x1b[?1049l" in rest  # the screen of before is back
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        os.close(own)
