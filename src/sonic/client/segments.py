"""Shared memory of the system, owned by this process: made, mapped, removed at its end, swept after its death."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING
from weakref import finalize

import numpy as np

from sonic.protocol.ownership import FOLDER, PREFIX, own, remove_abandoned

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 8

# By path, the descriptors that hold the locks of this process's memory.
_locks: dict[Path, int] = {}


class Segment:
    """A piece of shared memory, mapped and filled with real pages, so that using it cannot fail.

    It is removed from the system by :meth:`unlink`, when nobody refers to it any more, or at the end of the process.
    A mapping lasts for as long as anything refers to :attr:`memory`. In a process that is forked off it does nothing.

    Parameters
    ----------
    byte_size : int
        Above 0.
    folder : Path, optional
        Where the system keeps shared memory.

    Attributes
    ----------
    name : str
        As for ``shm_open``, without the slash.
    memory : ndarray of uint8, shape (byte_size,)

    Raises
    ------
    OSError
        If there is no room (ENOSPC), or the system has no shared memory.
    """

    def __init__(self, byte_size: int, folder: Path = FOLDER) -> None:
        path, lock = _make(folder)
        self.name = path.name
        self._remove = finalize(self, _remove, path, os.getpid())
        _locks[path] = lock
        try:
            # Another open file than that of the lock: a mapping keeps its own, in processes that are forked off too.
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # Without pages of its own, a full system would end this process by a signal at the first write.
                os.posix_fallocate(descriptor, 0, byte_size)
                flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
                mapped = mmap.mmap(descriptor, byte_size, flags=flags)
            finally:
                os.close(descriptor)
        except BaseException:
            self._remove()
            raise
        self.memory = np.frombuffer(mapped, np.uint8)

    def unlink(self) -> None:
        """Remove its name: nobody can map it from now on; who has mapped it keeps it."""
        self._remove()


def sweep(folder: Path = FOLDER) -> tuple[str, ...]:
    """Remove what processes that are dead have left behind.

    Returns
    -------
    tuple of str
        The names removed.
    """
    return tuple(path.name for path in folder.glob(f"{PREFIX}*") if remove_abandoned(path))


def available(folder: Path = FOLDER) -> bool:
    """Whether this system has shared memory that can be owned."""
    return folder.is_dir() and os.access(folder, os.W_OK)


def _make(folder: Path) -> tuple[Path, int]:
    for _ in range(_TRIES):
        path = folder / f"{PREFIX}{os.getpid()}-{token_hex(8)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if own(descriptor):
            return path, descriptor
        os.close(descriptor)
    raise OSError(f"no shared memory in {folder} was left to its owner in {_TRIES} tries")


def _remove(path: Path, pid: int) -> None:
    if os.getpid() != pid:
        return
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = _locks.pop(path, None)
    if descriptor is not None:
        os.close(descriptor)


def _disown() -> None:
    """Let go of the locks that a process inherits when it is forked off: they would outlive their owner."""
    for descriptor in _locks.values():
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_disown)
