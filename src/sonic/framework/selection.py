"""Which events of a chunk have passed the filters, level by level.

Level 0 is every event of the chunk, level k those that passed the first k filters. A column belongs to the level of
the module that made it, and is narrowed to the level of a module that reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
from awkward.contents import EmptyArray, IndexedOptionArray, ListOffsetArray, NumpyArray, RecordArray, RegularArray
from awkward.index import Index64

if TYPE_CHECKING:
    from awkward.contents import Content


class Selection:
    """The levels of one chunk.

    Parameters
    ----------
    size : int
        Events in the chunk.
    """

    __slots__ = ("_passed", "_sizes")

    def __init__(self, size: int) -> None:
        self._sizes = [size]
        self._passed: list[np.ndarray | None] = []  # positions one level down; None where all passed

    @property
    def level(self) -> int:
        """The highest level so far: the number of filters applied."""
        return len(self._passed)

    def size(self, level: int) -> int:
        """Events at a level."""
        return self._sizes[level]

    def apply(self, mask: np.ndarray) -> None:
        """Add a level: of the events at the highest one, those where `mask` (bool, one an event) is true."""
        positions = np.flatnonzero(mask)
        self._passed.append(None if len(positions) == len(mask) else positions)
        self._sizes.append(len(positions))

    def positions(self, lower: int, upper: int) -> np.ndarray | None:
        """Where the events of level `upper` stand among those of level `lower`; None if they are the same events."""
        found: np.ndarray | None = None
        for step in self._passed[lower:upper]:
            if step is not None:
                found = step if found is None else found[step]
        return found

    def mask(self, lower: int, upper: int) -> np.ndarray:
        """One bool for each event of level `lower`: whether it is still there at level `upper`."""
        positions = self.positions(lower, upper)
        if positions is None:
            return np.ones(self._sizes[lower], dtype=np.bool_)
        mask = np.zeros(self._sizes[lower], dtype=np.bool_)
        mask[positions] = True
        return mask

    def narrow(self, column: Content, lower: int, upper: int) -> Content:
        """Cut a column of level `lower` to the events of level `upper`."""
        positions = self.positions(lower, upper)
        return column if positions is None else column[positions]

    def widen(self, column: Content, level: int, counts: np.ndarray | None = None) -> Content:
        """Give a column of that level an entry for every event of the chunk.

        Events that had not passed get None where values may be missing, else an empty list, NaN, 0 or False, as the
        column's type allows.

        Parameters
        ----------
        column : Content
        level : int
            Its level.
        counts : ndarray of int or None
            Length of the list of every event of the chunk, shape (n_events,). If the lists of a jagged column agree
            with it where they exist, the others are given that length too, filled with NaN, 0 or False.

        Raises
        ------
        TypeError
            If the column has mixed types or categories, for which there is no such entry.
        """
        positions = self.positions(0, level)
        if positions is None:
            return column
        packed = ak.to_packed(column, highlevel=False)
        if counts is not None and isinstance(packed, ListOffsetArray):
            own = np.diff(np.asarray(packed.offsets))
            if np.array_equal(own, counts[positions]):
                there = np.repeat(self.mask(0, level), counts)
                content = _scatter(packed.content, np.flatnonzero(there), int(counts.sum()))
                return ListOffsetArray(_offsets(counts), content, parameters=packed.parameters)
        return _scatter(packed, positions, self._sizes[0])


def _offsets(counts: np.ndarray) -> Index64:
    return Index64(np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)]))


def _scatter(column: Content, positions: np.ndarray, size: int) -> Content:
    if isinstance(column, NumpyArray):
        data = np.asarray(column.data)
        blank = np.nan if data.dtype.kind in "fc" else 0
        wide = np.full((size, *data.shape[1:]), blank, dtype=data.dtype)
        wide[positions] = data
        return NumpyArray(wide, parameters=column.parameters)
    if isinstance(column, EmptyArray):
        return _scatter(column.to_NumpyArray(np.float64), positions, size)
    if isinstance(column, ListOffsetArray):
        counts = np.zeros(size, dtype=np.int64)
        counts[positions] = np.diff(np.asarray(column.offsets))
        return ListOffsetArray(_offsets(counts), column.content, parameters=column.parameters)
    if isinstance(column, RegularArray):
        inner = (positions[:, None] * column.size + np.arange(column.size)).reshape(-1)
        content = _scatter(column.content, inner, size * column.size)
        return RegularArray(content, column.size, zeros_length=size, parameters=column.parameters)
    if isinstance(column, RecordArray):
        contents = [_scatter(content, positions, size) for content in column.contents]
        return RecordArray(contents, column.fields, length=size, parameters=column.parameters)
    if column.is_option:
        indexed = column.to_IndexedOptionArray64()
        index = np.full(size, -1, dtype=np.int64)
        index[positions] = np.asarray(indexed.index)
        return IndexedOptionArray(Index64(index), indexed.content, parameters=indexed.parameters)
    raise TypeError(f"type {column.form.type} has no entry for events that did not pass")
