"""The files of a model against the checksums in its config.pbtxt: made, compared, written there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, DataError
from sonic.files import replacing
from sonic.protocol.checksums import ALGORITHMS, DEFAULT_ALGORITHM, Checksum, read_checksums, write_checksums
from sonic.protocol.modelconfig import parse
from sonic.protocol.modelfolder import CONFIG_NAME, files_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MAKE: dict[str, Any] = {"MD5": partial(hashlib.md5, usedforsecurity=False), "SHA256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file of a model, and what is known of it.

    Parameters
    ----------
    path : str
        Relative to the model's folder.
    size_bytes : int
        0 if it is gone.
    algorithm : str
    found : str
        Digest of the file; empty if it is gone.
    stored : str
        Digest in config.pbtxt; empty if there is none.
    """

    path: str
    size_bytes: int
    algorithm: str
    found: str
    stored: str

    @property
    def state(self) -> str:
        """``ok``, ``missing`` (the checksum), ``differs`` or ``gone`` (the file)."""
        if not self.stored:
            return "missing"
        if not self.found:
            return "gone"
        return "ok" if self.found == self.stored else "differs"

    @property
    def problem(self) -> str:
        """What is wrong, in a line; empty if nothing is."""
        if self.state == "gone":
            return f"file {self.path!r} is gone, of which {CONFIG_NAME} has a checksum"
        return "" if self.state != "differs" else _differs(self.path, self.algorithm, self.found, self.stored)


def digest(path: Path, algorithm: str) -> str:
    """Return the digest of a file.

    Parameters
    ----------
    path : Path
    algorithm : str
        One of :data:`sonic.protocol.checksums.ALGORITHMS`.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _MAKE[algorithm]).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def mismatches(folder: Path, checksums: Iterable[Checksum]) -> Iterator[str]:
    """Say which files of a model are not what their checksums say, a line each.

    Each is read when its turn comes.
    """
    for checksum in checksums:
        try:
            found = digest(folder / checksum.path, checksum.algorithm)
        except DataError as error:
            yield f"checksum {checksum.key!r}: {error}"
            continue
        if found != checksum.digest:
            yield _differs(checksum.path, checksum.algorithm, found, checksum.digest)


def survey(folder: Path, algorithm: str = DEFAULT_ALGORITHM) -> tuple[FileDigest, ...]:
    """Read every file of a model's versions, and those that it has checksums of besides.

    Parameters
    ----------
    folder : Path
        The model's.
    algorithm : str
        For files that have no checksum.

    Raises
    ------
    ConfigError
        If config.pbtxt cannot be read, or has a checksum that is none.
    DataError
        If a file cannot be read.
    """
    config = parse(read_text(folder), str(folder / CONFIG_NAME), strict=False)
    stored = read_checksums(config)
    rows = [_row(folder, each.path, each.algorithm, each.digest) for each in stored]
    known = {each.path for each in stored}
    rows += [_row(folder, path, algorithm, "") for path in files_of(folder) if path not in known]
    return tuple(sorted(rows, key=lambda row: (row.path, row.algorithm)))


def store(folder: Path, algorithm: str | None = None, *, force: bool = False) -> tuple[FileDigest, ...]:
    """Write the digests of a model's files into its config.pbtxt, which else stays as it is.

    Parameters
    ----------
    folder : Path
        The model's.
    algorithm : str, optional
        For all files; by default a file keeps its own, and one without a checksum gets MD5.
    force : bool
        Whether a file may have changed since its checksum was written.

    Returns
    -------
    tuple of FileDigest
        As it was before.

    Raises
    ------
    ConfigError
        If one has changed, or config.pbtxt cannot be read.
    OutputError
        If it cannot be written.
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ConfigError(f"algorithm {algorithm!r}: one of {', '.join(ALGORITHMS)}")
    rows = survey(folder, algorithm or DEFAULT_ALGORITHM)
    for row in rows:
        if row.problem and not force:
            raise ConfigError(f"model {folder.name!r}: {row.problem}: what has changed belongs into a new version")
    kept = [row for row in rows if row.found]
    checksums = {_again(folder, row, algorithm or row.algorithm) for row in kept}
    before = read_text(folder)
    after = write_checksums(before, sorted(checksums, key=lambda each: each.key), str(folder / CONFIG_NAME))
    if after != before:
        with replacing(folder / CONFIG_NAME) as beside:  # as a whole: a server may be reading it
            beside.write_text(after, encoding="utf-8")
    return rows


def _row(folder: Path, path: str, algorithm: str, stored: str) -> FileDigest:
    file = folder / path
    if not file.is_file():
        return FileDigest(path, 0, algorithm, "", stored)
    return FileDigest(path, file.stat().st_size, algorithm, digest(file, algorithm), stored)


def _again(folder: Path, row: FileDigest, algorithm: str) -> Checksum:
    same = algorithm == row.algorithm
    return Checksum(algorithm, row.path, row.found if same else digest(folder / row.path, algorithm))


def _differs(path: str, algorithm: str, found: str, expected: str) -> str:
    return f"file {path!r} has {algorithm} {found}, expected {expected} by {CONFIG_NAME}"
