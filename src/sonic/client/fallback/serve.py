"""``sonic serve`` as a child process."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Self

from sonic.client.fallback.owned import OwnedProcess
from sonic.errors import Cancelled, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

_GLANCE_S = 0.02


class ServeProcess:
    """``sonic serve`` as a child process, which ends with its owner, however that ends. Context manager.

    Parameters
    ----------
    repositories : sequence of path-like
        Folders of models.
    cores : int, optional
        Cores that its models may use together.
    options : sequence of str
        More options of ``sonic serve``.
    files : sequence of int
        Numbers of open files that it gets, for options that name them as ``/dev/fd/N``.
    prefix : sequence of str
        Words before the command, of one that runs it in its own place.
    start_timeout_s : float
        How long loading may take.
    stop : Event, optional
        Set to give up waiting for it.

    Raises
    ------
    Unavailable
        If it does not come up; the text ends with the last lines of its log.
    Cancelled
        If `stop` was set before it did.
    """

    def __init__(
        self,
        repositories: Sequence[str | os.PathLike[str]],
        *,
        cores: int | None = None,
        options: Sequence[str] = (),
        files: Sequence[int] = (),
        prefix: Sequence[str] = (),
        start_timeout_s: float = 300.0,
        stop: Event | None = None,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="sonic-serve-") as folder:
            ports = Path(folder) / "ports.json"
            # -P: a file of the working folder that is called as a library is not to be run in its place.
            command = [*prefix, sys.executable, "-P", "-m", "sonic", "serve"]
            command += [os.fspath(folder) for folder in repositories]
            for kind in ("grpc", "http", "metrics"):
                command += [f"--{kind}-port", "0"]
            # Its cores are its owner's, too, whose work is not to wait for one that only looks for the next request.
            command += ["--watch-stdin", "--ports-file", str(ports), "--busy-poll-us", "0"]
            if cores is not None:
                command += ["--cores", str(cores)]
            self.process = OwnedProcess("sonic serve", [*command, *options], files=files)
            try:
                self._wait_for(ports, start_timeout_s, stop or Event())
                numbers: dict[str, int] = json.loads(ports.read_text())
                self.process.ready()
            except BaseException:
                self.close(drain_s=0)
                raise
        self.grpc_url = f"grpc://127.0.0.1:{numbers['grpc']}"
        self.http_url = f"http://127.0.0.1:{numbers['http']}"
        self.metrics_url = f"http://127.0.0.1:{numbers['metrics']}/metrics"

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self.process.pid

    def close(self, drain_s: float = 10.0) -> None:
        """End it: requests that it has may end first, for at most `drain_s` seconds."""
        self.process.close(drain_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for(self, ports: Path, timeout_s: float, stop: Event) -> None:
        until_s = monotonic() + timeout_s
        while not ports.exists():
            if self.process.wait(_GLANCE_S):
                raise Unavailable(self.process.text(f"{self.process.ended()} before it was ready"))
            if monotonic() > until_s:
                raise Unavailable(self.process.text(f"was not ready within {timeout_s:g} s"))
            if stop.is_set():
                raise Cancelled("sonic serve is not needed any more")
