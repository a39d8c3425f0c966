"""The folder of a scan's own server, with its models and sockets. It goes with the server.

It is locked meanwhile: a lock goes with its process, so that the next scan knows, and removes, what one left that was
killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.protocol.ownership import own

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "sonic-scan-"
_TRIES = 8


@contextmanager
def folder(within: Path | None = None) -> Iterator[Path]:
    """Have a folder, removed at the end; those that dead scans left go first.

    Parameters
    ----------
    within : Path, optional
        By default where the system has temporary files.

    Raises
    ------
    OSError
        If none can be made.
    """
    within = within or Path(tempfile.gettempdir())
    for left in within.glob(f"{PREFIX}*"):
        _remove_abandoned(left)
    path, descriptor = _make(within)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _make(within: Path) -> tuple[Path, int]:
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=within))
        with suppress(FileNotFoundError):  # another scan took it for abandoned before it was locked
            descriptor = _open(path)
            if own(descriptor):
                return path, descriptor
            os.close(descriptor)
    raise OSError(f"no folder in {within} was left to its owner in {_TRIES} tries")


def _remove_abandoned(path: Path) -> None:
    try:
        descriptor = _open(path)
    except OSError:  # another user's, or gone
        return
    try:
        if own(descriptor):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
