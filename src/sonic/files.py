"""Files and folders that are whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sonic.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_writable(*paths: str | os.PathLike[str] | None) -> None:
    """See that files can be written, before there is what they are to hold; None is one that is not asked for.

    Raises
    ------
    OutputError
        If one is a folder, or its folder is not there or not to be written to, as :func:`replacing` needs it.
    """
    for path in paths:
        if path is not None:
            _check_writable(path)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of which file it is that it cannot be written: an OSError becomes an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


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
        with writing(path):
            yield part
            if not whole:
                part.replace(target)
    finally:
        if not whole:
            with suppress(OSError):  # nothing, or its folder could not be made
                part.unlink()


def _check_writable(path: str | os.PathLike[str]) -> None:
    target = Path(path)
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {target.parent}")
    if target.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    whole = target.exists() and not target.is_file()  # /dev/null, or a pipe
    real = Path(os.path.realpath(path)).parent
    if not whole and not os.access(real, os.W_OK):
        where = real if target.is_symlink() else target.parent
        raise OutputError(f"cannot write {path}: {where} is not yours to write to")


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes `target` in the end, and nothing if that fails.

    Of several who make the same one at once, in threads or processes, one has it; to the others it is there already.

    Raises
    ------
    OutputError
        If the target is there already, or cannot be written.
    """
    if target.exists():
        raise OutputError(f"{target} is there already")
    work = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        work.mkdir(parents=True)
        yield work
        work.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and target.exists():
            raise OutputError(f"{target} is there already") from error
        raise OutputError(f"{target} could not be written: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
