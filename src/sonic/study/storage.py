"""Records on disk: JSON lines, to which a study in progress adds one by one, or Parquet, for whoever analyses them.

In Parquet a record is a row: its JSON in column ``record``, which is what :func:`read` takes, and beside it, flat, what
tables are made of: ``throughput``, ``latency_mean_s``, ``settings.clients`` ...
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from sonic.errors import ConfigError, DataError, OutputError, one_line
from sonic.files import check_writable, replacing, writing
from sonic.study.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_PARQUET = ".parquet"
_JSON = "record"
_BEGIN = b"{"


def ready(path: str | os.PathLike[str], *, adding: bool = False) -> None:
    """See that records can be written to a file, or added to it, before they are made.

    Raises
    ------
    OutputError
        If it cannot be written (:func:`~sonic.files.check_writable`) or added to.
    ConfigError
        If Parquet is wanted and pyarrow is not installed, or it cannot be added to.
    """
    target = Path(path)
    check_writable(target)
    if target.suffix == _PARQUET and not adding:
        _pyarrow()
    elif adding and (target.suffix == _PARQUET or target.exists()):
        with _opened(target) as file:
            _start_of_records(file, target)


def write(records: Iterable[Record], path: str | os.PathLike[str]) -> None:
    """Write records to a file, in place of what was there.

    Parameters
    ----------
    records : iterable of Record
    path : path
        Parquet if its name ends so, else JSON lines.

    Raises
    ------
    OutputError
        If it cannot be written; what was there stays.
    ConfigError
        If Parquet is wanted and pyarrow is not installed.
    """
    with replacing(path) as part:
        if Path(path).suffix == _PARQUET:
            _write_parquet(list(records), part)
        else:
            part.write_bytes(b"".join(map(_line, records)))


def append(record: Record, path: str | os.PathLike[str]) -> None:
    """Add a record to a file of JSON lines, which is made if there is none. A line that was cut short goes.

    Raises
    ------
    OutputError
        If it cannot be written, or holds something else.
    ConfigError
        If the file is named as one in Parquet, which cannot be added to.
    """
    with _opened(Path(path)) as file:
        _start_of_records(file, path)
        file.write(_end_last_line(file) + _line(record))


def read(path: str | os.PathLike[str]) -> list[Record]:
    """Read the records of a file; empty lines and a last one that was cut short are left out.

    Raises
    ------
    DataError
        If it cannot be read, or holds something else; says in which line.
    ConfigError
        If it is Parquet and pyarrow is not installed.
    """
    source = Path(path)
    try:
        lines = _read_parquet(source) if source.suffix == _PARQUET else _lines(source.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(msgspec.json.decode(line, type=Record))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {number} is not a record of a study: {one_line(error)}") from error
    return records


def _line(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _lines(content: bytes) -> list[bytes]:
    *lines, last = content.split(b"\n")
    # Without a newline its writer was killed; or else an editor wrote it, or all of it is something else.
    return [*lines, last] if _is_record(last) or not (lines or last.startswith(_BEGIN)) else lines


def _is_record(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to add to it."""
    if path.suffix == _PARQUET:
        raise ConfigError(f"cannot add to {path}: Parquet is written at once; give a name that ends in .jsonl")
    with writing(path), path.open("a+b") as file:
        yield file


def _start_of_records(file: BinaryIO, path: str | os.PathLike[str]) -> None:
    """Refuse what was given by mistake."""
    file.seek(0)
    if file.read(1) not in (b"", _BEGIN):
        raise OutputError(f"cannot add to {path}: it holds no records of a study")


def _end_last_line(file: BinaryIO) -> bytes:
    """Cut off what is behind the last newline, whose writer was killed; return what a whole record there lacks."""
    end = file.seek(0, os.SEEK_END)
    at, tail = end, b""
    while at and b"\n" not in tail:
        at = max(0, at - 65536)
        file.seek(at)
        tail = file.read(end - at)
    whole = at + tail.rfind(b"\n") + 1
    if whole == end:
        return b""
    if _is_record(tail[whole - at :]):
        return b"\n"
    file.truncate(whole)
    return b""


def _write_parquet(records: Sequence[Record], path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    rows = [_flat(record) for record in records]
    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1:  # which a column cannot hold
            kind = float if kinds == {int, float} else str
            values = [None if value is None else kind(value) for value in values]
        columns[name] = values
    parquet.write_table(pyarrow.table(columns or {_JSON: pyarrow.array([], pyarrow.string())}), path)


def _flat(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(record, name) for name in ("target", "status", "reason", "started")}
    for name, estimate in (("throughput", record.throughput), ("row_rate", record.row_rate)):
        if estimate is not None:
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    if record.latencies is not None:
        row["latency_mean_s"] = record.latencies.mean_s
    machine = {**msgspec.structs.asdict(record.machine), "gpus": ", ".join(record.machine.gpus)}
    tables: dict[str, Mapping[str, Any]] = {
        "settings": record.settings,
        "details": record.details,
        "versions": record.versions,
        "machine": machine,
    }
    for name, table in tables.items():
        row |= {f"{name}.{key}": value for key, value in table.items()}
    return row | {_JSON: msgspec.json.encode(record).decode()}


def _read_parquet(path: Path) -> list[bytes]:
    pyarrow, parquet = _pyarrow()
    try:
        with path.open("rb") as file:  # a file alone: of a path, pyarrow also reads folders into columns
            column = parquet.read_table(file, columns=[_JSON]).column(_JSON)
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise DataError(f"{path} holds no records of a study: {one_line(error)}") from error
    return [text.encode() for text in column.to_pylist()]


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'sonic-hep[study]'") from error
    return pa, parquet
