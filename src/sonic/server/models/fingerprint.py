"""What a model's folders hold, to see whether they have changed: names, times and sizes. Nothing is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    Print = frozenset[tuple[str, int, int]]
    """Path, time of the last change in nanoseconds and size in bytes, of each file and folder."""


def fingerprint(folders: Iterable[Path]) -> Print:
    """Return names, times and sizes of all that a model consists of."""
    return frozenset(part for folder in folders for part in _parts(str(folder)))


def _parts(folder: str) -> Iterator[tuple[str, int, int]]:
    entered: set[tuple[int, int]] = set()  # links may lead in circles
    for path, folders, files in os.walk(folder, followlinks=True):
        # What a model that is loaded may write beside itself is no change of it.
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in (*folders, *files):
            part = os.path.join(path, name)  # noqa: PTH118 - a Path a file would make a look slow
            try:
                status = os.stat(part)  # noqa: PTH116
            except OSError:  # gone since
                continue
            if name in files:
                yield part, status.st_mtime_ns, status.st_size
            elif (status.st_dev, status.st_ino) in entered:
                folders.remove(name)
            else:
                entered.add((status.st_dev, status.st_ino))
                yield part, 0, 0
