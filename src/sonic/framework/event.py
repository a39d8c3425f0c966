"""The event unit: a chunk of consecutive events, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import Content, NumpyArray, RecordArray

from sonic.errors import OutputError
from sonic.framework.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sonic.framework.report import Failure


@dataclass(frozen=True, slots=True)
class FileRange:
    """Entries of one file that a job reads, in one go.

    Parameters
    ----------
    index : int
        Number among all that the job reads, repeats included, from 0.
    file : str
        Path or URL of the file.
    start, stop : int
        Entries of the file, `stop` excluded.
    """

    index: int
    file: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{short_name(self.file)} entries {self.start}:{self.stop}"


@dataclass(frozen=True, slots=True)
class EventRange:
    """Where a chunk's events come from.

    Parameters
    ----------
    index : int
        Number of the chunk in the job, from 0.
    file : str
        Path or URL of the file.
    start, stop : int
        Entries of the file, `stop` excluded.
    visit : int
        Number of the :class:`FileRange` that it is a part of.
    """

    index: int
    file: str
    start: int
    stop: int
    visit: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"chunk {self.index}, {short_name(self.file)} entries {self.start}:{self.stop}"


class Chunk:
    """Consecutive events of one file, with what the modules made of them.

    Input columns are slices of what was read, made on first use. Columns are awkward layouts, so that nothing is
    wrapped more often than a module looks at it.

    Parameters
    ----------
    where : EventRange
    block : mapping of str to Content
        Columns that were read, of which this chunk's events are a part.
    offset : int
        Where this chunk begins in `block`.
    """

    __slots__ = ("_block", "_columns", "_narrowed", "_offset", "failure", "results", "selection", "where")

    def __init__(self, where: EventRange, block: Mapping[str, Content], offset: int = 0) -> None:
        self.where = where
        self.selection = Selection(len(where))
        self.results: dict[str, Any] = {}
        """What the analyzers returned, by their name."""
        self.failure: Failure | None = None
        """Why it is left out of the output, if it is."""
        self._block = block
        self._offset = offset
        self._columns: dict[str, tuple[int, Content]] = {}
        self._narrowed: dict[tuple[str, int], Content] = {}

    def __len__(self) -> int:
        return len(self.where)

    def __contains__(self, name: str) -> bool:
        return name in self._columns or name in self._block

    def view(self, names: Iterable[str], level: int = 0) -> ak.Array:
        """Record array of the named columns, for the events of a level; names that are absent are left out."""
        fields = [name for name in names if name in self]
        contents = [self.column(name, level) for name in fields]
        return ak.Array(RecordArray(contents, fields, length=self.selection.size(level)))

    def column(self, name: str, level: int = 0) -> Content:
        """One column, for the events of a level that is not below its own."""
        own, content = self._own(name)
        if own == level:
            return content
        key = (name, level)
        if key not in self._narrowed:
            self._narrowed[key] = self.selection.narrow(content, own, level)
        return self._narrowed[key]

    def put(self, products: Mapping[str, Any], expected: Sequence[str], level: int) -> None:
        """Add what a module made.

        Raises
        ------
        TypeError
            If it returned no mapping, or a single value.
        ValueError
            If the names are not those declared, or a product has not one entry an event.
        """
        if not isinstance(products, Mapping):
            raise TypeError(f"returned a {type(products).__name__}, expected a mapping with {_names(expected)}")
        if products.keys() != set(expected):
            raise ValueError(f"returned products {_names(products)}, declared {_names(expected)}")
        size = self.selection.size(level)
        for name, value in products.items():
            content = as_content(value)
            if len(content) != size:
                raise ValueError(f"product {name!r} has {len(content)} entries for {size} events")
            self._columns[name] = (level, content)

    def output(self, names: Sequence[str], masks: Sequence[str], *, widen: bool) -> dict[str, Content]:
        """Columns for an output.

        Parameters
        ----------
        names : sequence of str
            Columns wanted.
        masks : sequence of str
            Names of the filters, in their order.
        widen : bool
            True: every event, with a bool column for each filter, and blanks (see :meth:`Selection.widen`) where a
            module did not see it; False: only the events that passed all of them.

        Raises
        ------
        OutputError
            If a column's type has no such blank.
        """
        top = self.selection.level
        if not widen:
            output = {name: self.column(name, top) for name in names}
        else:
            output = self._widened(names)
            for level, mask in enumerate(masks, start=1):
                output[mask] = NumpyArray(self.selection.mask(0, level))
        return output

    def fail(self, failure: Failure) -> None:
        """Leave it out of the output, and let its columns go."""
        self.failure = failure
        self.results.clear()
        self.release()

    def release(self) -> None:
        """Let all columns go."""
        self._block = {}
        self._columns.clear()
        self._narrowed.clear()

    def _widened(self, names: Sequence[str]) -> dict[str, Content]:
        """Give columns an entry for every event; those of one collection keep lists of the same lengths."""
        counts: dict[str, np.ndarray] = {}
        wide: dict[str, Content] = {}
        for name in sorted(names, key=lambda name: self._own(name)[0]):
            level, content = self._own(name)
            group = collection(name)
            try:
                wide[name] = self.selection.widen(content, level, counts.get(group))
            except TypeError as error:
                advice = "write only those that do (filter output pass), or do not keep the column"
                raise OutputError(f"column {name!r} of {self.where}: {error}: {advice}") from error
            if wide[name].purelist_depth > 1 and group not in counts and self.selection.level:
                # A list that is missing counts as empty.
                counts[group] = np.asarray(ak.fill_none(ak.num(wide[name], axis=1), 0))
        return {name: wide[name] for name in names}

    def _own(self, name: str) -> tuple[int, Content]:
        """Return a column at the level it was made for; an input column is cut from the block on first use."""
        found = self._columns.get(name)
        if found is None:
            found = (0, self._block[name][self._offset : self._offset + len(self.where)])
            self._columns[name] = found
        return found


def collection(name: str) -> str:
    """Return the collection that a column belongs to, by the convention of NanoAOD: ``Jet`` for ``Jet_pt``."""
    return name.partition("_")[0]


def as_content(value: Any) -> Content:
    """Layout of an array: awkward, numpy, or anything that awkward can convert. What numpy masks is None.

    Raises
    ------
    TypeError
        If it is a single value.
    """
    if isinstance(value, ak.Array):
        return value.layout
    if np.isscalar(value) or (isinstance(value, np.ndarray) and value.ndim == 0):
        raise TypeError(f"expected an array with one entry an event, got {value!r}")
    if isinstance(value, np.ma.MaskedArray):  # an option type, though nothing be masked this time
        return ak.from_numpy(value, highlevel=False)
    if isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "biuf":
        return NumpyArray(value)
    if isinstance(value, Content):
        return value
    if isinstance(value, np.ndarray) and value.dtype.hasobject and all(type(each) is bytes for each in value.flat):
        from sonic.client.conversion.texts import content_of  # here, since few jobs have any

        return content_of(value)
    return ak.to_layout(value, regulararray=False)


def short_name(file: str) -> str:
    """Return the name of a file or of a URL's, without where it is, for messages."""
    return file.rstrip("/").rpartition("/")[2] or file


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
