from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.framework.selection import Selection


@st.composite
def filtered(draw: st.DrawFn) -> tuple[int, list[list[bool]]]:
    """A size, and the answers of filters that each see what the one before let pass."""
    size = draw(st.integers(0, 12))
    masks, left = [], size
    for _ in range(draw(st.integers(0, 4))):
        mask = draw(st.lists(st.booleans(), min_size=left, max_size=left))
        masks.append(mask)
        left = sum(mask)
    return size, masks


def apply(size: int, masks: list[list[bool]]) -> tuple[Selection, list[list[int]]]:
    """A selection, and beside it the numbers of the events left at each level."""
    selection, levels = Selection(size), [list(range(size))]
    for mask in masks:
        selection.apply(np.array(mask, dtype=bool))
        levels.append([event for event, passes in zip(levels[-1], mask, strict=True) if passes])
    return selection, levels


@given(filtered())
def test_levels_agree_with_filtering_lists(case):
    selection, levels = apply(*case)
    assert selection.level == len(levels) - 1
    for lower, events in enumerate(levels):
        assert selection.size(lower) == len(events)
        column = ak.to_layout(np.array(events, dtype=np.int64))
        for upper in range(lower, len(levels)):
            assert ak.to_list(selection.narrow(column, lower, upper)) == levels[upper]
            assert selection.mask(lower, upper).tolist() == [event in levels[upper] for event in events]


@given(filtered())
def test_widening_puts_values_back_where_they_came_from(case):
    selection, levels = apply(*case)
    for level, events in enumerate(levels):
        flat = ak.to_layout(np.array(events, dtype=np.float32))
        wide = ak.to_numpy(selection.widen(flat, level))
        assert wide.dtype == np.float32
        assert wide[events].tolist() == events
        assert np.isnan(np.delete(wide, events)).all()

        lists = ak.unflatten(np.repeat(np.array(events, dtype=np.int64), 2), np.full(len(events), 2))
        wide = ak.to_list(selection.widen(lists.layout, level))
        assert wide == [[event, event] if event in events else [] for event in range(case[0])]


@given(filtered(), st.data())
def test_lists_of_one_collection_keep_their_lengths(case, data):
    selection, levels = apply(*case)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=case[0], max_size=case[0])), dtype=np.int64)
    every = ak.unflatten(np.arange(counts.sum(), dtype=np.float64), counts)
    for level in range(len(levels)):
        narrowed = selection.narrow(every.layout, 0, level)
        wide = ak.Array(selection.widen(narrowed, level, counts))
        assert ak.num(wide).tolist() == counts.tolist()
        assert wide[levels[level]].tolist() == every[levels[level]].tolist()
        others = np.delete(np.arange(case[0]), levels[level])
        assert ak.all(np.isnan(wide[others]), axis=None)


def test_lists_of_other_lengths_are_not_forced():
    selection = Selection(3)
    selection.apply(np.array([True, False, True]))
    column = ak.Array([[1], [2, 3]]).layout
    assert ak.to_list(selection.widen(column, 1, np.array([2, 2, 2]))) == [[1], [], [2, 3]]


def test_nothing_is_copied_when_all_pass():
    selection = Selection(2)
    selection.apply(np.array([True, True]))
    column = ak.Array([1, 2]).layout
    assert selection.narrow(column, 0, 1) is column
    assert selection.widen(column, 1) is column


@pytest.mark.parametrize(
    ("values", "blank"),
    [
        ([1, 2], 0),
        ([True, True], False),
        (["a", "bc"], ""),
        ([[["x"]], [["y", "z"], []]], []),
        (np.ones((2, 3)).tolist(), []),
        ([{"a": 1, "b": [2]}, {"a": 3, "b": []}], {"a": 0, "b": []}),
    ],
)
def test_blanks_by_type(values, blank):
    selection = Selection(3)
    selection.apply(np.array([True, False, True]))
    assert ak.to_list(selection.widen(ak.Array(values).layout, 1)) == [values[0], blank, values[1]]


def test_blanks_of_arrays_of_fixed_size():
    selection = Selection(3)
    selection.apply(np.array([False, False, True]))
    for column in (ak.to_regular(ak.Array([[1, 2]])), ak.from_numpy(np.array([[1, 2]]))):
        assert ak.to_list(selection.widen(column.layout, 1)) == [[0, 0], [0, 0], [1, 2]]


def test_what_may_be_missing_is_missing_where_events_did_not_pass():
    selection = Selection(3)
    selection.apply(np.array([True, False, True]))
    for values in ([None, 1], [1.5, None], [[1], None], [[None, 1.0], []], [{"a": 1}, None], ["a", None]):
        wide = selection.widen(ak.Array(values).layout, 1)
        blank = [] if values == [[None, 1.0], []] else None
        assert ak.to_list(wide) == [values[0], blank, values[1]]
    masked = ak.from_numpy(np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [0, 0]]))
    assert ak.to_list(selection.widen(masked.layout, 1)) == [[1, None], [None, None], [3, 4]]


def test_a_column_of_mixed_types_cannot_be_widened():
    selection = Selection(3)
    selection.apply(np.array([False, True, True]))
    with pytest.raises(TypeError, match="no entry for events that did not pass"):
        selection.widen(ak.Array(["a", 1]).layout, 1)
