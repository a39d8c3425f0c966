"""Keeps what a client asks in a file, to be sent again; see :mod:`sonic.protocol.recording`."""

from __future__ import annotations

import logging
import os
from threading import Lock
from time import time_ns
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, InvalidRequest
from sonic.protocol.recording import encode

if TYPE_CHECKING:
    from sonic.protocol.messages import InferRequest

log = logging.getLogger("sonic.client")


class Recorder:
    """Appends requests to a file, whole ones only, so that several processes can share it. Thread-safe.

    A request that cannot be written is not the worse for it: the recording ends there, and the log says so.

    Parameters
    ----------
    path : path
    max_bytes : int
        Where the file has so many, nothing more is added.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = Lock()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ConfigError(f"cannot record requests in {os.fspath(path)}: {error.strerror}") from error
        self._open = True

    def record(self, request: InferRequest) -> None:
        """Append a request."""
        sent_ns = time_ns()
        try:
            data = encode(request, sent_ns)
        except InvalidRequest as error:
            log.warning("a request to model %r is not recorded: %s", request.model, error)
            return
        with self._lock:
            if self._open:
                self._append(data)

    def close(self) -> None:
        """Add nothing more."""
        with self._lock:
            self._shut()

    def _append(self, data: bytes) -> None:
        try:
            if os.fstat(self._file).st_size + len(data) > self._max_bytes:
                self._end(f"it has {self._max_bytes} bytes, as many as it may")
            elif os.write(self._file, data) < len(data):
                self._end("the disk is full")
        except OSError as error:
            self._end(error.strerror or str(error))

    def _end(self, why: str) -> None:
        log.warning("recording of requests in %s ends: %s", os.fspath(self._path), why)
        self._shut()

    def _shut(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)
