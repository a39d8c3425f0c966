"""What a model's inputs and outputs are made of: rows, and lists in them, padded or laid end to end. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.client.conversion.channels import checked, column, field, named, only
from sonic.client.conversion.ragged import Missing, cast, entries, gather, lay, offsets, peel, places, restore
from sonic.client.conversion.texts import content_of
from sonic.errors import ConfigError, InvalidRequest, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from awkward.contents import Content
    from numpy.typing import DTypeLike

    from sonic.client.conversion.channels import Channel
    from sonic.client.conversion.ragged import Entries, Numbers, Places


class Input(ABC):
    """How one input is made; from ``channels()`` and its like of a collection."""

    @property
    @abstractmethod
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        """Field of the row that is read, None for the row itself, and which fields of what is in it."""

    @abstractmethod
    def make(self, rows: RowsOf) -> Numbers:
        """Make the array."""


class Output(ABC):
    """What one output is; from ``values()`` of a collection."""

    @abstractmethod
    def give_back(self, rows: RowsOf, array: Numbers) -> Content:
        """Return it in the structure of the rows."""


@dataclass(frozen=True)
class Rows:
    """The rows themselves: one number a field and row."""

    def channels(self, *channels: Channel, dtype: DTypeLike = np.float32, fill: float = 0.0) -> Input:
        """Declare an input [rows, channels].

        Parameters
        ----------
        *channels : str or tuple
            Fields in order, each perhaps with transforms; see :data:`Channel`.
        dtype : dtype
            A value that it cannot hold, as an integer one 1.5 or NaN, is an InvalidRequest.
        fill : float
            For a value that is missing.
        """
        return _RowChannels(checked(channels, dtype, fill), dtype, fill)

    def values(self, *fields: str) -> Output:
        """Declare an output with one element a row: [rows, ...].

        Parameters
        ----------
        *fields : str
            Names for the elements of the last axis; the result is then a record.
        """
        return _RowValues(fields)


@dataclass(frozen=True)
class Padded:
    """A list in each row, padded or cut to one size.

    Parameters
    ----------
    of : str or None
        Field of the row with the list; None if the row is the list itself.
    size : int or None
        Entries a row; None for as many as the longest list of the chunk has, at least one.
    truncate : bool
        Whether a list may be longer, and then loses its last entries. Otherwise that is an InvalidRequest.
    order_by : str or None
        Field by which entries are sorted, highest first. None: as they are.
    """

    of: str | None = None
    size: int | None = None
    truncate: bool = False
    order_by: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ConfigError(f"the size of {self!r} is at least 1, or None; given {self.size}")

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """The field by which entries are sorted, if there is one."""
        return () if self.order_by is None else (self.order_by,)

    def channels(
        self, *channels: Channel, axis: int | None = 1, dtype: DTypeLike = np.float32, fill: float = 0.0
    ) -> Input:
        """Declare an input [rows, channels, size].

        Parameters
        ----------
        *channels : str or tuple
            As for :meth:`Rows.channels`; none where an entry is a number and no record.
        axis : {1, 2, None}
            Of the channels: 2 is [rows, size, channels]; None, for one channel, [rows, size].
        dtype : dtype
        fill : float
            Where there is no entry, or its value is missing.
        """
        if axis not in (1, 2, None):
            raise ConfigError(f"the axis of channels is 1, 2 or None; given {axis}")
        if axis is None and len(channels) > 1:
            raise ConfigError(f"{len(channels)} channels need an axis, 1 or 2; given None")
        return _PaddedChannels(self, checked(channels, dtype, fill), axis, dtype, fill)

    def mask(self, *, axis: int | None = 1, dtype: DTypeLike = np.float32) -> Input:
        """Declare an input that is 1 where there is an entry and 0 elsewhere: [rows, 1, size] and so on."""
        if axis not in (1, 2, None):
            raise ConfigError(f"the axis of a mask is 1, 2 or None; given {axis}")
        return _Mask(self, axis, dtype)

    @property
    def cuts(self) -> bool:
        """Whether an entry may be cut off."""
        return self.truncate and self.size is not None

    def values(self, *fields: str) -> Output:
        """Declare an output with one element an entry: [rows, size, ...].

        What was cut off comes back as None; where that may be, the type says so, whatever a chunk holds.
        """
        return _PaddedValues(self, fields)


@dataclass(frozen=True)
class Flattened:
    """A list in each row, laid end to end with those of the other rows, and the offsets that part them again.

    Parameters
    ----------
    of : str or None
        As for :class:`Padded`.
    """

    of: str | None = None

    def channels(self, *channels: Channel, dtype: DTypeLike = np.float32, fill: float = 0.0) -> Input:
        """Declare an input [entries of all rows, channels]."""
        return _FlatChannels(self, checked(channels, dtype, fill), dtype, fill)

    def offsets(self, *, dtype: DTypeLike = np.int64) -> Input:
        """Declare an input [rows + 1]: where each row's entries begin and end. Empty if there are no rows."""
        return _Offsets(self, dtype)

    def counts(self, *, dtype: DTypeLike = np.int64) -> Input:
        """Declare an input [rows]: how many entries each row has."""
        return _Counts(self, dtype)

    def row_numbers(self, *, dtype: DTypeLike = np.int64) -> Input:
        """Declare an input [entries of all rows]: the row of each."""
        return _RowNumbers(self, dtype)

    def values(self, *fields: str) -> Output:
        """Declare an output with one element an entry: [entries of all rows, ...]."""
        return _FlatValues(self, fields)


class RowsOf:
    """The rows of one array, and what was found out about them.

    Parameters
    ----------
    layout : awkward.contents.Content
    depth : int
        How many lists deep the rows are.
    inputs : iterable of Input
        Nothing is read but what these read.
    """

    def __init__(self, layout: Content, depth: int, inputs: Iterable[Input]) -> None:
        own: set[str] = set()
        self._below: dict[str | None, set[str]] = {None: set()}
        for of, names in (declared.reads for declared in inputs):
            own.update(names if of is None else (of,))
            if of is not None:
                self._below.setdefault(of, set()).update(names)
        self.levels, self.content = peel(only(layout, own), depth)
        self._entries: dict[str | None, Entries] = {}
        self._places: dict[Padded, Places] = {}

    def __len__(self) -> int:
        return int(self.content.length)

    def entries(self, of: str | None) -> Entries:
        """Return the lists of a field."""
        if of not in self._entries:
            lists = self.content if of is None else only(field(self.content, of), self._below.get(of, ()))
            self._entries[of] = entries(lists)
        return self._entries[of]

    def places(self, declared: Padded) -> Places:
        """Return where the entries of a padded list go."""
        if declared not in self._places:
            found = self.entries(declared.of)
            longest = int(found.counts.max(initial=0))
            size = declared.size or max(longest, 1)
            if longest > size and not declared.truncate:
                raise InvalidRequest(
                    f"expected lists of at most {size}, given one of {longest}: cut with truncate=True"
                )
            by = None if declared.order_by is None else column(found.content, (declared.order_by,), np.float64, -np.inf)
            self._places[declared] = places(found.counts, size, by)
        return self._places[declared]


# ---- how ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _RowChannels(Input):
    channels: tuple[tuple[Any, ...], ...]
    dtype: DTypeLike
    fill: float

    @property
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        return None, named(self.channels)

    def make(self, rows: RowsOf) -> Numbers:
        return _beside(rows.content, self.channels, self.dtype, self.fill)


@dataclass(frozen=True)
class _RowValues(Output):
    fields: tuple[str, ...] = ()

    def give_back(self, rows: RowsOf, array: Numbers) -> Content:
        _expect(array, (len(rows),))
        return _content(array, self.fields)


@dataclass(frozen=True)
class _PaddedChannels(Input):
    of: Padded
    channels: tuple[tuple[Any, ...], ...]
    axis: int | None
    dtype: DTypeLike
    fill: float

    @property
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        return self.of.of, (*named(self.channels), *self.of.ranked_by)

    def make(self, rows: RowsOf) -> Numbers:
        where, content = rows.places(self.of), rows.entries(self.of.of).content
        columns = [column(content, channel, self.dtype, self.fill) for channel in self.channels]
        return lay(where, columns, self.dtype, axis=self.axis, fill=self.fill)


@dataclass(frozen=True)
class _Mask(Input):
    of: Padded
    axis: int | None
    dtype: DTypeLike

    @property
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        return self.of.of, self.of.ranked_by

    def make(self, rows: RowsOf) -> Numbers:
        where, counts = rows.places(self.of), rows.entries(self.of.of).counts
        mask = (np.arange(where.size) < counts[:, None]).astype(self.dtype)
        return mask if self.axis is None else np.expand_dims(mask, self.axis)


@dataclass(frozen=True)
class _PaddedValues(Output):
    of: Padded
    fields: tuple[str, ...]

    def give_back(self, rows: RowsOf, array: Numbers) -> Content:
        where, found = rows.places(self.of), rows.entries(self.of.of)
        if len(rows):  # without any, a free size is 0
            _expect(array, (len(rows), where.size))
        values, placed = gather(where, array, int(found.counts.sum()))
        levels = [*found.levels, Missing(placed)] if self.of.cuts else found.levels
        return restore(levels, _content(values, self.fields))


@dataclass(frozen=True)
class _FlatChannels(Input):
    of: Flattened
    channels: tuple[tuple[Any, ...], ...]
    dtype: DTypeLike
    fill: float

    @property
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        return self.of.of, named(self.channels)

    def make(self, rows: RowsOf) -> Numbers:
        return _beside(rows.entries(self.of.of).content, self.channels, self.dtype, self.fill)


@dataclass(frozen=True)
class _OfLists(Input):
    """What the lists themselves say, whatever their entries are."""

    of: Flattened
    dtype: DTypeLike

    @property
    def reads(self) -> tuple[str | None, tuple[str, ...]]:
        return self.of.of, ()


class _Offsets(_OfLists):
    def make(self, rows: RowsOf) -> Numbers:
        counts = rows.entries(self.of.of).counts
        # With an input that has an element for no rows, the model would be called for nothing.
        return cast(offsets(counts) if len(counts) else counts, self.dtype)


class _Counts(_OfLists):
    def make(self, rows: RowsOf) -> Numbers:
        return cast(rows.entries(self.of.of).counts, self.dtype)


class _RowNumbers(_OfLists):
    def make(self, rows: RowsOf) -> Numbers:
        return cast(rows.entries(self.of.of).row, self.dtype)


@dataclass(frozen=True)
class _FlatValues(Output):
    of: Flattened
    fields: tuple[str, ...]

    def give_back(self, rows: RowsOf, array: Numbers) -> Content:
        found = rows.entries(self.of.of)
        _expect(array, (int(found.counts.sum()),))
        return restore(found.levels, _content(array, self.fields))


def _beside(content: Content, channels: tuple[tuple[Any, ...], ...], dtype: DTypeLike, fill: float) -> Numbers:
    made = np.empty((content.length, len(channels)), dtype)
    for i, channel in enumerate(channels):
        made[:, i] = column(content, channel, dtype, fill)
    return made


def _expect(array: Numbers, shape: tuple[int, ...]) -> None:
    if array.shape[: len(shape)] != shape:
        raise ModelFailed(f"expected shape {[*shape, '...']}, given {list(array.shape)}")


def _content(array: Numbers, fields: tuple[str, ...]) -> Content:
    if not fields:
        return content_of(array, regulararray=True)
    if not array.size and array.ndim > 1:  # without any rows, a free last axis is 0
        array = np.zeros((*array.shape[:-1], len(fields)), array.dtype)
    if array.ndim < 2 or array.shape[-1] != len(fields):
        raise ModelFailed(f"expected a last axis of {len(fields)}, {', '.join(fields)}; given {list(array.shape)}")
    columns = [content_of(array[..., i], regulararray=True) for i in range(len(fields))]
    return ak.contents.RecordArray(columns, list(fields), length=len(array))
