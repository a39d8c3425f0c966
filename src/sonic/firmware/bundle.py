"""Firmware as one file to hand on: the same firmware gives the same bytes.

In it are the network with its numbers, the sources and the emulator, golden vectors, versions, and a checksum of each
file. numpy and the library are enough to use it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError, one_line
from sonic.files import appearing, replacing
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision

CHECKSUMS = "SHA256SUMS"
GOLDEN = "golden"
_ROWS = 64
_SEED = 20
_LIBRARY = ".so"


def write_golden(network: Network, precision: Precision, folder: Path) -> None:
    """Write rows and what the reference gives for them: half of them within the input's range, half beyond."""
    random = np.random.default_rng(_SEED)
    reach = np.repeat([1.0, 3.0], _ROWS // 2).reshape(-1, *(1,) * len(network.shape))
    rows = random.uniform(precision.input.lowest, precision.input.highest, (_ROWS, *network.shape)) * reach
    at = folder / GOLDEN
    at.mkdir(exist_ok=True)
    np.save(at / "rows.npy", rows, allow_pickle=False)
    np.save(at / "results.npy", evaluate(network, precision, rows), allow_pickle=False)


def read_golden(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows [N, *shape of the input], and results [N, *shape of the output].

    Raises
    ------
    DataError
        If they are not there.
    """
    try:
        rows, results = (np.load(folder / GOLDEN / f"{name}.npy", allow_pickle=False) for name in ("rows", "results"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} has no golden vectors: {one_line(error)}") from error
    return rows, results


def write_checksums(folder: Path) -> None:
    """Write a checksum of each file, in the form that ``sha256sum --check`` reads."""
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _files(folder) if name != CHECKSUMS]
    (folder / CHECKSUMS).write_text("".join(lines))


def check(folder: Path) -> None:
    """Compare each file with its checksum.

    Raises
    ------
    DataError
        If there is none, or a file is missing or another; with the first such file.
    """
    try:
        lines = (folder / CHECKSUMS).read_text().splitlines()
    except OSError as error:
        what = f"holds no firmware: {error.strerror}: {CHECKSUMS}" if folder.is_dir() else "is no folder of firmware"
        raise DataError(f"{folder} {what}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{folder}: {CHECKSUMS} is not what it was when the firmware was built") from error
    for line in lines:
        digest, _, name = line.partition("  ")
        if not (folder / name).is_file():
            raise DataError(f"{folder}: {name} is missing")
        if _digest(folder / name) != digest:
            raise DataError(f"{folder}: {name} is not what it was when the firmware was built")


def pack(folder: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """Write firmware as one file, ``.tar.gz``.

    Raises
    ------
    DataError
        If there is no firmware, or not all of it.
    OutputError
        If the file cannot be written.
    """
    at, target = Path(folder), Path(file)
    check(at)
    whole = io.BytesIO()
    # Neither times nor owners, so that only what is in it counts.
    with gzip.GzipFile(fileobj=whole, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name in _files(at):
            entry = tarfile.TarInfo(name)
            entry.size = (at / name).stat().st_size
            entry.mode = 0o755 if name.endswith(_LIBRARY) else 0o644
            with (at / name).open("rb") as content:
                tar.addfile(entry, content)
    with replacing(target) as part:
        part.write_bytes(whole.getvalue())
    return target


def unpack(file: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Read firmware from one file.

    Raises
    ------
    DataError
        If it is no such file, or not whole.
    OutputError
        If the folder is there already, or cannot be written.
    """
    target = Path(folder)
    with appearing(target) as work:
        try:
            with _opened(file) as tar:
                tar.extractall(work, filter="data")
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{os.fspath(file)} holds no firmware: {one_line(error)}") from error
        check(work)
    return target


def _opened(file: str | os.PathLike[str]) -> tarfile.TarFile:
    try:
        return tarfile.open(file)
    except OSError as error:
        raise DataError(f"{os.fspath(file)}: {error.strerror}") from error


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
