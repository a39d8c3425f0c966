"""Events as a Parquet file. Needs the extra ``parquet``."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq

from sonic.errors import OutputError
from sonic.framework.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from awkward.contents import Content

METADATA = "sonic"


class ParquetSink(Sink):
    """A Parquet file with a column for each name; jagged columns are lists. Histograms are not stored.

    The file's key-value metadata has the job's metadata under ``sonic``.
    """

    holds_missing = True

    def _open(self, part: Path) -> None:
        self._raw = part.open("wb")
        self._writer: pq.ParquetWriter | None = None

    def write(self, columns: Mapping[str, Content], events: int) -> None:
        """Take the output of a chunk; that there are no columns is said of the first, not of what is gathered."""
        if not columns:
            raise OutputError(f"{self.path}: nothing is kept, and Parquet holds no histograms")
        super().write(columns, events)

    def _append(self, columns: Mapping[str, Content]) -> None:
        arrays = {}
        for name, content in columns.items():
            try:
                arrays[name] = ak.to_arrow(content, extensionarray=False, list_to32=True)
            except (TypeError, ValueError, NotImplementedError, pa.ArrowException) as error:
                raise OutputError(
                    f"{self.path}: column {name!r} has type {content.form.type}, which Parquet cannot hold"
                ) from error
        try:
            if self._writer is None:
                schema = pa.schema([pa.field(name, array.type) for name, array in arrays.items()])
                self._writer = pq.ParquetWriter(self._raw, schema)
            self._writer.write_table(pa.table(list(arrays.values()), schema=self._writer.schema))
        except pa.ArrowException as error:  # it names no column
            unfit = [f"{name!r} of type {columns[name].form.type}" for name, array in arrays.items() if _unfit(array)]
            what = f"Parquet cannot hold column {', '.join(unfit)}" if unfit else "cannot be written"
            reason = str(error).partition("\n")[0]
            raise OutputError(f"{self.path}: {what}: {reason}") from error

    def _close(self, totals: Mapping[str, Any], metadata: str) -> None:  # noqa: ARG002 - no place for histograms
        if self._writer is not None:
            self._writer.add_key_value_metadata({METADATA: metadata})
            self._writer.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()

    def _drop(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._raw.close()


def _unfit(array: pa.Array) -> bool:
    try:
        pq.write_table(pa.table({"x": array}), io.BytesIO())
    except pa.ArrowException:
        return True
    return False
