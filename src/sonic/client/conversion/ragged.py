"""Lists of lists as flat columns, flat columns in rectangular places, and the way back. Pure.

What is read of an array is only what is asked of it: buffers of a virtual array that nobody needs stay unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np

from sonic.client.arrays import beyond
from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from awkward.contents import Content
    from numpy.typing import DTypeLike, NDArray

    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]
    Numbers = NDArray[Any]


# ---- levels of a structure ------------------------------------------------------------------------------------------


class Missing(NamedTuple):
    """Some elements may be None: `valid` says which are not."""

    valid: Bools


class Lists(NamedTuple):
    """Lists of so many elements each."""

    counts: Ints


class Regular(NamedTuple):
    """`number` lists of `size` elements each."""

    size: int
    number: int


Level = Missing | Lists | Regular


def peel(layout: Content, lists: int) -> tuple[list[Level], Content]:
    """Take lists, and what may be missing of them and in them, off an array.

    Parameters
    ----------
    layout : awkward.contents.Content
    lists : int
        How many levels of lists.

    Returns
    -------
    levels : list of Missing, Lists or Regular
        What was taken off, from the outside.
    content : awkward.contents.Content
        What was inside, one after another, without what is missing.

    Raises
    ------
    InvalidRequest
        If the array has not as many levels, or has a union among them.
    """
    levels: list[Level] = []
    while True:
        if layout.is_option:
            levels.append(Missing(np.asarray(layout.mask_as_bool(valid_when=True), bool)))
            layout = layout.project()
        elif layout.is_indexed:
            layout = layout.project()
        elif not lists:
            return levels, layout
        elif layout.is_numpy and layout.purelist_depth > 1:
            layout = layout.to_RegularArray()
        elif layout.is_unknown:  # nothing at all: as many lists as one likes, and none of them
            levels.extend([Lists(np.zeros(0, np.int64))] * lists)
            return levels, layout
        elif layout.is_list and layout.parameter("__array__") not in ("string", "bytestring"):
            level, layout = _unlist(layout)
            levels.append(level)
            lists -= 1
        else:
            raise InvalidRequest(f"expected {lists} more level(s) of lists, given {layout.form.type}")


def _unlist(layout: Content) -> tuple[Lists | Regular, Content]:
    if layout.is_regular:
        number, size = int(layout.length), int(layout.size)
        return Regular(size, number), layout.content[: number * size]
    layout = layout.to_ListOffsetArray64(True)
    ends = np.asarray(layout.offsets)
    return Lists(np.diff(ends)), layout.content[: int(ends[-1])]


def restore(levels: Sequence[Level], content: Content) -> Content:
    """Put back what :func:`peel` took off, around other content of the same length."""
    for level in reversed(levels):
        if isinstance(level, Missing):
            if level.valid.all():
                content = ak.contents.UnmaskedArray.simplified(content)
                continue
            index = np.where(level.valid, np.cumsum(level.valid) - 1, -1)
            content = ak.contents.IndexedOptionArray.simplified(ak.index.Index64(index), content)
        elif isinstance(level, Lists):
            content = ak.contents.ListOffsetArray(ak.index.Index64(offsets(level.counts)), content)
        else:
            content = ak.contents.RegularArray(content, level.size, zeros_length=level.number)
    return content


def numbers(layout: Content) -> Numbers:
    """Return a flat column as it is in memory.

    Raises
    ------
    InvalidRequest
        If it is not one number an entry.
    """
    if layout.is_unknown:
        return np.zeros(0)
    if not layout.is_numpy or layout.purelist_depth != 1:
        raise InvalidRequest(f"expected one number an entry, given {layout.form.type}")
    return np.asarray(layout.to_backend_array())


def cast(values: Numbers, dtype: DTypeLike) -> Numbers:
    """Bring numbers to a dtype; integers only where each stays what it is.

    Raises
    ------
    InvalidRequest
        If it cannot hold one of them, or they are no real numbers.
    """
    target = np.dtype(dtype)
    if values.dtype.kind not in "biuf":
        raise InvalidRequest(f"{target} cannot hold values of {values.dtype}")
    if target.kind in "iu" and values.dtype.kind in "iuf" and values.dtype != target and values.size:
        if values.dtype.kind == "f":  # NaN is not equal to itself; the largest int64 is no float, the next number is
            info, wide = np.iinfo(target), values.astype(np.float64, copy=False)
            fits = (wide == np.trunc(wide)) & (wide >= info.min) & (wide < float(info.max) + 1)
            if not fits.all():
                raise InvalidRequest(f"{target} cannot hold the value {values[~fits][0]}")
        elif (value := beyond(values, target)) is not None:
            raise InvalidRequest(f"{target} cannot hold the value {value}")
    try:
        with np.errstate(over="raise"):
            return values.astype(target, copy=False)
    except FloatingPointError:
        raise InvalidRequest(f"{target} cannot hold values as large as given") from None


# ---- entries of rows, and their places ------------------------------------------------------------------------------


class Entries(NamedTuple):
    """Lists, one a row, laid end to end; entries that are missing are left out.

    Attributes
    ----------
    counts : array of int64, shape (rows,)
        How many entries each row has.
    content : awkward.contents.Content
        The entries.
    levels : list
        As of :func:`peel`.
    """

    counts: Ints
    content: Content
    levels: list[Level]

    @property
    def row(self) -> Ints:
        """Row of each entry."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def entries(layout: Content) -> Entries:
    """Lay lists end to end; a list that is missing has no entries.

    Raises
    ------
    InvalidRequest
        If it holds no lists.
    """
    levels, content = peel(layout, 1)
    if len(levels) == 1 and isinstance(levels[0], Lists) and len(levels[0].counts) == layout.length:
        return Entries(levels[0].counts, content, levels)
    owner = np.arange(layout.length)
    for level in levels:
        if isinstance(level, Missing):
            owner = owner[level.valid]
        else:
            owner = np.repeat(owner, level.counts if isinstance(level, Lists) else level.size)
    return Entries(np.bincount(owner, minlength=layout.length), content, levels)


class Places(NamedTuple):
    """Where flat entries go in an array of a fixed size a row.

    Attributes
    ----------
    entry, row, rank : arrays of int64, shape (placed,)
        The entry of that number goes to place `rank` of `row`.
    rows, size : int
    """

    entry: Ints
    row: Ints
    rank: Ints
    rows: int
    size: int


def places(counts: Ints, size: int, by: Numbers | None = None, *, only_to_cut: bool = False) -> Places:
    """Give each entry of a row its place; entries beyond `size` get none.

    Parameters
    ----------
    counts : array of int64, shape (rows,)
        Entries of each row, which lie one row after another.
    size : int
    by : array, shape (entries,), optional
        Highest first. Otherwise they stay in order.
    only_to_cut : bool
        Leave rows in order that have no more entries than places.
    """
    if by is None or (only_to_cut and counts.max(initial=0) <= size):
        return _cut(np.arange(int(counts.sum())), counts, size)
    row = np.repeat(np.arange(len(counts)), counts)
    return places_of(row, len(counts), size, np.where(counts[row] > size, by, 0) if only_to_cut else by)


def places_of(row: Ints, rows: int, size: int, by: Numbers) -> Places:
    """Give entries of rows in any order their places, highest `by` first; as :func:`places` otherwise."""
    return _cut(np.lexsort((-np.asarray(by, np.float64), row)), np.bincount(row, minlength=rows), size)


def _cut(entry: Ints, counts: Ints, size: int) -> Places:
    """Places of entries that are in order, one row after another."""
    row = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    if counts.max(initial=0) > size:
        kept = rank < size
        entry, row, rank = entry[kept], row[kept], rank[kept]
    return Places(entry, row, rank, len(counts), size)


def lay(
    where: Places, columns: Sequence[Numbers] | Numbers, dtype: DTypeLike, *, axis: int | None = 1, fill: float = 0
) -> Numbers:
    """Lay flat columns out, a place an entry.

    Parameters
    ----------
    where : Places
    columns : sequence of arrays, shape (entries,), or one array, shape (columns, entries)
    dtype : dtype
    axis : {1, 2, None}
        Of the columns: the result is [rows, columns, size], [rows, size, columns] or, of one column, [rows, size].
    fill : float
        Where there is no entry.
    """
    rows, size, width = where.rows, where.size, len(columns)
    laid = np.full(rows * size * width, fill, dtype)
    first, step = (
        (where.row * width * size + where.rank, size)
        if axis == 1
        else (
            (where.row * size + where.rank) * width,
            1,
        )
    )
    for i, column in enumerate(columns):
        laid[first + i * step] = column[where.entry]
    return laid.reshape({1: (rows, width, size), 2: (rows, size, width), None: (rows, size)}[axis])


def gather(where: Places, laid: Numbers, total: int) -> tuple[Numbers, Bools]:
    """Bring values back from their places.

    Parameters
    ----------
    where : Places
    laid : array, shape (rows, size, ...)
    total : int
        Number of entries.

    Returns
    -------
    values : array, shape (placed, ...)
        Of the entries that have a place, in their order.
    placed : array of bool, shape (total,)
    """
    placed = np.zeros(total, bool)
    placed[where.entry] = True
    order = np.argsort(where.entry, kind="stable")
    return laid[where.row[order], where.rank[order]], placed


def offsets(counts: Ints) -> Ints:
    """Where lists of so many entries begin, and where the last one ends; shape (lists + 1,)."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
