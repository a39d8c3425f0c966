"""Records on disk: JSON lines, to which a study in progress adds one by one, or Parquet, for whoever analyses them.

In Parquet a record is a row: its JSON in column ``record``, which is what :func:`read` takes, and beside it, flat, what
tables are made of: ``throughput``, ``latency_mean_s``, ``settings.clients`` ...
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sonic.errors import ConfigError, DataError, OutputError, one_line
from sonic.files import replacing
from sonic.study.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PARQUET = ".parquet"
_JSON = "record"


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
        If it cannot be written.
    ConfigError
        If the file is named as one in Parquet, which cannot be added to.
    """
    target = Path(path)
    if target.suffix == _PARQUET:
        raise ConfigError(f"cannot add to {path}: Parquet is written at once; give a name that ends in .jsonl")
    try:
        with target.open("a+b") as file:
            _cut_torn(file)
            file.write(_line(record))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: str | os.PathLike[str]) -> list[Record]:
    """Read the records of a file; a last line that was cut short is left out.

    Raises
    ------
    DataError
        If it cannot be read, or holds something else; says in which line.
    ConfigError
        If it is Parquet and pyarrow is not installed.
    """
    source = Path(path)
    try:
        lines = _read_parquet(source) if source.suffix == _PARQUET else source.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(msgspec.json.decode(line, type=Record))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {number} is not a record of a study: {one_line(error)}") from error
    return records


def _line(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _cut_torn(file: Any) -> None:
    """Cut off what is behind the last newline: its writer was killed."""
    end = file.seek(0, os.SEEK_END)
    at, tail = end, b""
    while at and b"\n" not in tail:
        at = max(0, at - 65536)
        file.seek(at)
        tail = file.read(end - at)
    whole = at + tail.rfind(b"\n") + 1
    if whole < end:
        file.truncate(whole)


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
    for name, table in (("settings", record.settings), ("details", record.details), ("versions", record.versions)):
        row |= {f"{name}.{key}": value for key, value in table.items()}
    return row | {_JSON: msgspec.json.encode(record).decode()}


def _read_parquet(path: Path) -> list[bytes]:
    pyarrow, parquet = _pyarrow()
    try:
        column = parquet.read_table(path, columns=[_JSON]).column(_JSON)
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
