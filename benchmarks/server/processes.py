"""Processes on cores of their own, and the processor time that they and their children take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from benchmarks.common import pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COMPILED_FOLDER = Path(__file__).resolve().parents[2] / "build" / "compiled"
"""Where ``make compiled`` installs Sonic."""

_START_S = 180.0
_LOG_LINES = 5
_END_S = 15.0
_SETTLE_S = 60.0
_LOOK_S = 0.1
_IDLE = 0.3  # of a core; some servers poll


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Parameters
    ----------
    name : str
    pid : int
        Whose processor time, with that of its children, is counted.
    grpc, http : str
        ``host:port``; empty if it does not speak it.
    grpc_socket, http_socket : str
        Paths of Unix domain sockets; empty if it has none.
    shm : bool
        Whether it takes tensors in system shared memory.
    """

    name: str
    pid: int
    grpc: str = ""
    http: str = ""
    grpc_socket: str = ""
    http_socket: str = ""
    shm: bool = False

    def cpu_s(self) -> float:
        """Processor time of the server and all its children so far, in seconds.

        Raises
        ------
        RuntimeError
            If it has ended.
        """
        try:
            top = psutil.Process(self.pid)
            used = top.cpu_times()
        except psutil.NoSuchProcess as error:
            raise RuntimeError(f"{self.name} has ended") from error
        total = used.user + used.system + used.children_user + used.children_system
        for child in top.children(recursive=True):
            try:
                used = child.cpu_times()
            except psutil.NoSuchProcess:  # ended, and its time is now its parent's
                continue
            total += used.user + used.system + used.children_user + used.children_system
        return float(total)

    def settle(self) -> None:
        """Wait until the server idles: it may still work on requests whose clients have gone.

        Raises
        ------
        RuntimeError
            If it does not.
        """
        until_s = time.monotonic() + _SETTLE_S
        before_s = self.cpu_s()
        while True:
            time.sleep(_LOOK_S)
            now_s = self.cpu_s()
            if now_s - before_s < _IDLE * _LOOK_S:
                return
            if time.monotonic() > until_s:
                raise RuntimeError(f"{self.name} still computes, {_SETTLE_S:g} s after the last request")
            before_s = now_s


@contextmanager
def running(
    command: Sequence[str], cores: Sequence[int], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process on some cores; end it in the end, by SIGTERM and, if that does not help, by SIGKILL.

    `environment` goes on top of this process's.
    """
    variables = {**os.environ, **(environment or {})}
    with log.open("wb") as sink, pinned(cores):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=variables
        )
    try:
        yield process
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()


def wait_until(ready: Callable[[], bool], name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server is ready.

    Raises
    ------
    RuntimeError
        If it ends before or takes too long, with the last lines that it printed.
    """
    until_s = time.monotonic() + _START_S
    while not ready():
        code = process.poll()
        if code is None and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
            continue
        what = f"was not ready within {_START_S:g} s" if code is None else f"ended with status {code}"
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        raise RuntimeError("\n".join([f"{name} {what}; its last lines:", *lines]))


@contextmanager
def sonic_server(name: str, repository: Path, cores: Sequence[int], installed: Path | None = None) -> Iterator[Target]:
    """Run ``sonic serve`` on some cores.

    Parameters
    ----------
    name : str
        In the report.
    repository : path
        Of the models.
    cores : sequence of int
        That it may use; each model has an instance of one thread for each.
    installed : path or None
        Folder that another Sonic than this one is installed in.

    Raises
    ------
    RuntimeError
        If it does not come up, with what it printed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sonic-bench-")))
        ports, log = folder / "ports.json", folder / "log"
        sockets = {kind: str(folder / f"{kind}.sock") for kind in ("grpc", "http")}
        command = [sys.executable, "-m", "sonic", "serve", str(repository), "--ports-file", str(ports)]
        for kind, path in sockets.items():
            command += [f"--{kind}-port", "0", f"--{kind}-socket", path]
        command += ["--metrics-port", "0"]
        environment = {} if installed is None else {"PYTHONPATH": str(installed)}
        process = stack.enter_context(running(command, cores, log, environment))
        wait_until(ports.exists, name, process, log)
        given = json.loads(ports.read_text())
        yield Target(
            name,
            process.pid,
            f"127.0.0.1:{given['grpc']}",
            f"127.0.0.1:{given['http']}",
            sockets["grpc"],
            sockets["http"],
            shm=True,
        )
