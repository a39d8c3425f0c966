"""Files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a file to write beside `path`, whose place it takes when it is whole. A link is followed.

    Raises
    ------
    OutputError
        If it cannot be written. Nothing is left of it then, and what was at `path` stays.
    """
    given = Path(path)
    whole = given.exists() and not given.is_file()  # /dev/null, or a pipe, whose real path is none that can be opened
    target = Path(os.path.realpath(path))
    part = given if whole else target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        if not whole:
            part.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if not whole:
            with suppress(OSError):  # nothing, or its folder could not be made
                part.unlink()
