"""A file that is read again when it changes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("sonic.watched")

T = TypeVar("T")

_Stamp = tuple[int, int, int]


class WatchedFile(Generic[T]):
    """What a file says, as of now. Thread-safe.

    It is looked at whenever it is asked for, which costs a microsecond. If it cannot be read any more, or makes no
    sense, what it said before stays, with a warning: who replaces it may be in the middle of that.

    Parameters
    ----------
    path : Path
    read : callable
        Makes something of the file.

    Raises
    ------
    ConfigError
        As `read` does, which is called at once.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path = path
        self._read = read
        self._lock = threading.Lock()
        self._stamp = self._look()  # before it is read: what is written in between is seen the next time
        self._content = read(path)

    def get(self) -> T:
        """Return what the file says."""
        if self._look() != self._stamp:
            with self._lock:
                if (stamp := self._look()) != self._stamp:
                    self._stamp = stamp
                    try:
                        self._content = self._read(self._path)
                        log.info("%s has changed and is read again", self._path)
                    except ConfigError as error:
                        log.warning("%s: what it said before stays in force", error)
        return self._content

    def _look(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except OSError:  # reading it says what is wrong
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
