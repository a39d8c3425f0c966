"""A server of one's own: in this process when the others fail, or as a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Self

from sonic.client.url import Address, connect
from sonic.errors import Cancelled, ConfigError, InferenceError, SonicError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.client.transport import Transport

_TAIL_BYTES = 1 << 16


class Fallback:
    """Serves a folder of models in this process, from the first time it is needed. Thread-safe.

    Parameters
    ----------
    folder : path-like
        A repository of models.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        if not Path(self.folder).is_dir():
            raise ConfigError(f"fallback {self.folder} is not a folder of models")
        self._lock = Lock()
        self._closed = False
        self.transport: Transport | None = None
        """The way to it; None before it is started."""

    @property
    def url(self) -> str:
        """Scheme and folder, for messages."""
        return f"local:{self.folder}"

    def start(self) -> Transport:
        """Return the way to it; the first call takes as long as its models take to load.

        Raises
        ------
        InferenceError
            Unavailable if it cannot be started, with the reason; Cancelled once closed.
        """
        with self._lock:
            if self._closed:
                raise Cancelled(f"fallback {self.folder} is closed")
            if self.transport is None:
                try:
                    self.transport = connect(Address("local", self.folder))
                except InferenceError:
                    raise
                except SonicError as error:
                    raise Unavailable(f"fallback {self.folder} cannot be started: {error}") from error
            return self.transport

    def close(self) -> None:
        """Stop it, if it was started."""
        with self._lock:
            self._closed = True
            if self.transport is not None:
                self.transport.close()


class ServeProcess:
    """``sonic serve`` as a child process, which ends with its owner, however that ends. Context manager.

    Parameters
    ----------
    repositories : sequence of path-like
        Folders of models.
    cores : int, optional
        Cores that its models may use together.
    start_timeout_s : float
        How long loading may take.

    Raises
    ------
    Unavailable
        If it does not come up; the text ends with the last lines of its log.
    """

    def __init__(
        self,
        repositories: Sequence[str | os.PathLike[str]],
        *,
        cores: int | None = None,
        start_timeout_s: float = 300.0,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process; has no name to be left behind
        with tempfile.TemporaryDirectory(prefix="sonic-serve-") as folder:
            numbers = self._start(repositories, Path(folder) / "ports.json", cores, start_timeout_s)
        self.grpc_url = f"grpc://127.0.0.1:{numbers['grpc']}"
        self.http_url = f"http://127.0.0.1:{numbers['http']}"
        self.metrics_url = f"http://127.0.0.1:{numbers['metrics']}/metrics"

    def _start(
        self, repositories: Sequence[str | os.PathLike[str]], ports: Path, cores: int | None, timeout_s: float
    ) -> dict[str, int]:
        command = [sys.executable, "-m", "sonic", "serve", *(os.fspath(folder) for folder in repositories)]
        for kind in ("grpc", "http", "metrics"):
            command += [f"--{kind}-port", "0"]
        command += ["--watch-stdin", "--ports-file", str(ports)]
        if cores is not None:
            command += ["--cores", str(cores)]
        # Its standard input closes when this process ends, by whatever signal: that is what it watches.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._wait_for(ports, timeout_s)
            numbers: dict[str, int] = json.loads(ports.read_text())
        except BaseException:
            self.close(drain_s=0)
            raise
        return numbers

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def log_tail(self, lines: int = 20) -> str:
        """Last lines of what the server printed; nothing once it is closed."""
        if self._log.closed:
            return ""
        # Not by seeking: the server writes where this file stands.
        size_bytes = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size_bytes - _TAIL_BYTES)).decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self, drain_s: float = 10.0) -> None:
        """End it: requests that it has may end first, for at most `drain_s` seconds."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(drain_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_for(self, ports: Path, timeout_s: float) -> None:
        until_s = monotonic() + timeout_s
        while not ports.exists():
            try:
                code = self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                if monotonic() > until_s:
                    raise Unavailable(self._text(f"was not ready within {timeout_s:g} s")) from None
            else:
                raise Unavailable(self._text(f"ended with status {code} before it was ready"))

    def _text(self, what: str) -> str:
        tail = self.log_tail()
        if "\n" in tail:
            return f"sonic serve {what}; its last lines:\n{tail}"
        return f"sonic serve {what}: {tail}" if tail else f"sonic serve {what}, and printed nothing"
