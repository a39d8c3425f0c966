"""Where the output goes: a file that appears under its name only when it is whole."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import EmptyArray, IndexedOptionArray, ListArray, ListOffsetArray, NumpyArray, UnmaskedArray
from awkward.forms import UnmaskedForm

from sonic.errors import OutputError
from sonic.files import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from awkward.contents import Content

# What is gathered before it is written: a basket, or a row group, of one chunk would be too small.
FLUSH_BYTES = 8 << 20
FLUSH_EVENTS = 100_000
_MERGE_PARTS = 256


class Sink(ABC):
    """An output file. Columns are gathered and written in larger pieces.

    The file is written beside its target as ``NAME.PID.part``, finished by :meth:`close`, renamed by :meth:`publish`
    and removed by :meth:`discard`. A symbolic link is followed, not replaced.

    Parameters
    ----------
    path : path
    tree : str
        Name of the table of events, where the format has one.
    flush_bytes, flush_events : int
        How much to gather before writing.

    Raises
    ------
    OutputError
        If there can be no such file.
    """

    holds_missing = False
    """Whether every column of the format may lack values, be it known from the first or not."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        tree: str = "Events",
        *,
        flush_bytes: int = FLUSH_BYTES,
        flush_events: int = FLUSH_EVENTS,
    ) -> None:
        self.path = Path(path)
        self.tree = tree
        self.events = 0
        """Events taken so far."""
        self._target = Path(os.path.realpath(self.path))
        self._part = part_of(self._target, os.getpid())
        self._flush_bytes = flush_bytes
        self._flush_events = flush_events
        self._parts: list[dict[str, Content]] = []
        self._gathered = self._gathered_bytes = 0
        self._forms: dict[str, Any] = {}
        if self.path.is_dir():
            raise OutputError(f"cannot write {self.path}: it is a folder")
        try:
            with writing(self.path):
                self._open(self._part)
        except BaseException:
            with suppress(OSError):  # where the folder is not there, or no folder
                self._part.unlink(missing_ok=True)
            raise

    @abstractmethod
    def _open(self, part: Path) -> None:
        """Create the file."""

    @abstractmethod
    def _append(self, columns: Mapping[str, Content]) -> None:
        """Write columns; the same names with the same types each time, the first time perhaps with no events."""

    @abstractmethod
    def _close(self, totals: Mapping[str, Any], metadata: str) -> None:
        """Write what comes last and close the file."""

    @abstractmethod
    def _drop(self) -> None:
        """Close the file whatever its state."""

    def check(self, totals: Mapping[str, Any]) -> None:  # noqa: B027 - for formats that store no totals
        """Check early that what analyzers return can be written.

        Raises
        ------
        OutputError
            If it cannot.
        """

    def write(self, columns: Mapping[str, Content], events: int) -> None:
        """Take the output of a chunk: columns of `events` entries each.

        Raises
        ------
        OutputError
            If the disk is full, or a column has a type that the format does not take or that changes.
        """
        self._parts.append(dict(columns))
        self.events += events
        self._gathered += events
        self._gathered_bytes += sum(_size_bytes(content) for content in columns.values())
        if self._gathered_bytes >= self._flush_bytes or self._gathered >= self._flush_events:
            self._flush()
        elif len(self._parts) >= _MERGE_PARTS:
            self._parts = [self._merged()]

    def close(self, totals: Mapping[str, Any], metadata: str) -> None:
        """Finish the file.

        Parameters
        ----------
        totals : mapping of str to object
            What the analyzers summed up; histograms are written where the format takes them.
        metadata : str
            JSON to be stored in the file.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        if self._parts:
            self._flush()
        with writing(self.path):
            self._close(totals, metadata)

    def publish(self) -> None:
        """Give the finished file its name.

        Raises
        ------
        OutputError
            If it cannot be renamed.
        """
        with writing(self.path):
            self._part.replace(self._target)

    def discard(self) -> None:
        """Remove what has been written."""
        try:
            with suppress(OSError):  # a full disk fails again here; the file goes all the same
                self._drop()
        finally:
            self._part.unlink(missing_ok=True)

    def _flush(self) -> None:
        columns = self._merged()
        self._parts.clear()
        self._gathered = self._gathered_bytes = 0
        settled = {name: self._settle(name, content) for name, content in columns.items()}
        with writing(self.path):
            self._append(settled)

    def _merged(self) -> dict[str, Content]:
        first = self._parts[0]
        merged = {}
        for name in first:
            contents = [part[name] for part in self._parts]
            whole = contents[0] if len(contents) == 1 else ak.concatenate(contents, highlevel=False)
            changed = _rounded(contents, whole)
            if changed is not None:
                types = f"was {changed.form.type} and is now {whole.form.type}, which rounds it"
                raise OutputError(f"{self.path}: column {name!r} {types}")
            merged[name] = ak.to_packed(whole, highlevel=False)
        return merged

    def _settle(self, name: str, content: Content) -> Content:
        """Hold a column to the type that it had the first time."""
        if _has_no_width(content):  # neither format gives it back
            raise OutputError(f"{self.path}: column {name!r} has type {content.form.type}: arrays without elements")
        if name not in self._forms:
            content = _known(content)
            self._forms[name] = content.form
            return content
        wanted = self._forms[name]
        if self.holds_missing and content.is_option and not wanted.is_option:
            wanted = UnmaskedForm.simplified(wanted)
        cast = _cast(content, wanted)
        if cast is None:
            raise OutputError(f"{self.path}: column {name!r} was {wanted.type} and is now {content.form.type}")
        return cast


def part_of(path: str | os.PathLike[str], process: int) -> Path:
    """Return where a process writes what is to be `path`, by the number of the process."""
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.name}.{process}.part")


def _size_bytes(content: Content) -> int:
    """Size of the entries that a layout shows, which may be few of those that it holds."""
    if isinstance(content, NumpyArray):
        return int(content.data.nbytes)
    if isinstance(content, ListOffsetArray) and isinstance(content.content, NumpyArray):
        offsets = content.offsets
        data = content.content.data
        per_entry = data.nbytes / max(1, len(data))
        return 8 * len(content) + int(per_entry * (int(offsets[-1]) - int(offsets[0])))
    if isinstance(content, ListArray):
        return _size_bytes(content.to_ListOffsetArray64(True))
    return int(ak.to_packed(content, highlevel=False).nbytes)


def _known(content: Content) -> Content:
    """Take columns of unknown type, as an empty list gives them, for float64."""

    def settle(layout: Content, **_: Any) -> Content | None:
        return layout.to_NumpyArray(np.float64) if isinstance(layout, EmptyArray) else None

    return ak.transform(settle, content, highlevel=False) if _has_unknown(content) else content


def _has_no_width(content: Content) -> bool:
    """Whether there are arrays of size 0 in a column; that there may be, where there are none yet, is no matter."""
    if isinstance(content, NumpyArray):
        return len(content) > 0 and 0 in content.data.shape
    if content.is_record or content.is_union:
        return any(_has_no_width(part) for part in content.contents)
    if content.is_regular and content.size == 0:
        return len(content) > 0
    return not content.is_unknown and _has_no_width(content.content)


def _has_unknown(content: Content) -> bool:
    return "unknown" in str(content.form.type)


def _cast(content: Content, wanted: Any) -> Content | None:
    """Bring a column to a form, if that loses nothing; None if it would."""
    if content.form.type == wanted.type:
        return content
    if len(content) == 0:
        return wanted.length_zero_array(highlevel=False)
    if wanted.is_option:
        return _cast_present(content, wanted)
    if isinstance(content, NumpyArray) and isinstance(wanted, ak.forms.NumpyForm):
        dtype = ak.types.numpytype.primitive_to_dtype(wanted.primitive)
        fits = content.data.shape[1:] == wanted.inner_shape and _holds(dtype, content.data)
        return NumpyArray(content.data.astype(dtype)) if fits else None
    lists = isinstance(content, ListOffsetArray) and isinstance(wanted, ak.forms.ListOffsetForm)
    if lists and content.parameters == wanted.parameters:
        inner = _cast(_known(content.content), wanted.content)
        return None if inner is None else ListOffsetArray(content.offsets, inner, parameters=content.parameters)
    return None


def _holds(dtype: np.dtype[Any], data: np.ndarray) -> bool:
    """Whether numbers stay what they are. That 64-bit integers become floats is safe in numpy's eyes, and rounds."""
    if not np.can_cast(data.dtype, dtype, "safe"):
        return False
    if data.dtype.kind not in "iu" or data.dtype.itemsize < 8 or dtype.kind not in "fc" or not data.size:
        return True
    floats = data.astype(np.float64)
    if floats.max() >= float(np.iinfo(data.dtype).max):  # rounded up beyond the type: there is no way back
        return False
    return np.array_equal(floats.astype(data.dtype), data)


def _rounded(parts: list[Content], whole: Content) -> Content | None:
    """Return a part whose integers are rounded where it is joined with others of another type."""
    joined = _numbers(whole)
    if joined is None or joined.dtype.kind not in "fc":
        return None
    for part in parts:
        numbers = _numbers(part)
        if numbers is not None and numbers.dtype != joined.dtype:
            shown = _numbers(ak.to_packed(part, highlevel=False))
            if shown is not None and shown.dtype.kind in "iu" and not _holds(joined.dtype, shown):
                return part
    return None


def _numbers(content: Content) -> np.ndarray | None:
    """Return what lies in lists and options, shown or not; None if that is a record, a union or nothing."""
    while content.is_list or content.is_option or content.is_indexed:
        content = content.content
    return content.data if isinstance(content, NumpyArray) else None


def _cast_present(content: Content, wanted: Any) -> Content | None:
    """Bring what is there to the form of a column whose values may be missing."""
    if not content.is_option:
        inner = _cast(content, wanted.content)
        return None if inner is None else UnmaskedArray.simplified(inner)
    indexed = content.to_IndexedOptionArray64()
    inner = _cast(_known(indexed.content), wanted.content)
    return None if inner is None else IndexedOptionArray.simplified(indexed.index, inner)
