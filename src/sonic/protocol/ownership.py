"""Shared memory whose owner can be told to be dead, so that others may remove what it left behind.

It is a file in the system's folder of shared memory, named with :data:`PREFIX`, which its owner holds locked for as
long as it lives: the system releases the lock when the process ends, however that ends. Neither a process number,
which another process may have by now, nor the file's age would say as much.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - it is what shm_open means by a name, on Linux
"""Where the system keeps shared memory. Where there is no such folder, nothing here is used."""

PREFIX = "sonic-"
"""What the names of owned memory begin with."""


def own(descriptor: int) -> bool:
    """Lock a file that was just made; False if somebody took it for abandoned in the meantime: make another one.

    Parameters
    ----------
    descriptor : int
        To be left open for as long as the file is owned. Nobody else may refer to the same open file: a lock lasts
        as long as any process that has inherited it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def remove_abandoned(path: Path) -> bool:
    """Remove owned memory if its owner is gone.

    Parameters
    ----------
    path : Path
        A file named with :data:`PREFIX`.

    Returns
    -------
    bool
        Whether it is not there any more. False for what belongs to another user.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:  # another user's, or no file at all
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        with suppress(FileNotFoundError):
            path.unlink()
        return True
    finally:
        os.close(descriptor)
