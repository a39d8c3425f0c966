from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client.conversion.ragged import entries, gather, lay, peel, places, places_of, restore
from sonic.errors import InvalidRequest

nested = st.lists(st.none() | st.lists(st.none() | st.lists(st.integers(0, 9), max_size=3), max_size=3), max_size=4)
rows_of_numbers = st.lists(st.lists(st.integers(0, 99), max_size=6), min_size=1, max_size=5)


@given(nested, st.integers(0, 2))
def test_what_is_peeled_off_is_restored(values: list[object], lists: int) -> None:
    array = ak.Array([*values, [[1], None], None])
    levels, content = peel(ak.to_layout(array), lists)
    assert not content.is_option
    assert ak.Array(restore(levels, content)).to_list() == array.to_list()


@pytest.mark.parametrize(
    "array",
    [
        ak.Array(np.arange(24).reshape(2, 3, 4)),
        ak.to_regular(ak.Array([[[1], [2]], [[3], []]]), axis=1),
        ak.Array(np.zeros((2, 0, 3))),
        ak.Array([[[1, 2], []], [], [[3]]])[[2, 0]],
        ak.mask(ak.Array([[[1]], [[2, 3]]]), [False, True]),
    ],
)
def test_every_kind_of_list_comes_back_as_it_was(array: ak.Array) -> None:
    levels, content = peel(ak.to_layout(array), 2)
    assert ak.Array(restore(levels, content)).to_list() == array.to_list()


def test_a_union_is_no_list() -> None:
    with pytest.raises(InvalidRequest, match=r"expected 1 more level\(s\) of lists, given union"):
        peel(ak.to_layout(ak.Array([1, [2]])), 1)


@given(rows_of_numbers, st.integers(1, 4), st.booleans(), st.booleans())
def test_places_against_sorting_by_hand(rows: list[list[int]], size: int, by_value: bool, only_to_cut: bool) -> None:
    found = entries(ak.to_layout(ak.Array([*rows, [0]])[:-1]))
    values = np.array([value for row in rows for value in row], np.int64)
    where = places(found.counts, size, values if by_value else None, only_to_cut=only_to_cut)
    laid = lay(where, [values], np.int64, axis=None, fill=-1)
    for row, got in zip(rows, laid.tolist(), strict=True):
        sort = by_value and not (only_to_cut and len(row) <= size)
        expected = (sorted(row, reverse=True) if sort else row)[:size]
        assert got == expected + [-1] * (size - len(expected))


@given(rows_of_numbers, st.integers(1, 4))
def test_gathered_values_are_those_laid(rows: list[list[int]], size: int) -> None:
    counts = np.array([len(row) for row in rows])
    values = np.array([value for row in rows for value in row], np.int64)
    where = places(counts, size, values)
    got, placed = gather(where, lay(where, [values], np.int64, axis=None), len(values))
    assert got.tolist() == values[placed].tolist()
    assert placed.sum() == np.minimum(counts, size).sum()


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), max_size=20))
def test_rows_in_any_order(pairs: list[tuple[int, float]]) -> None:
    row = np.array([pair[0] for pair in pairs], np.int64)
    by = np.array([pair[1] for pair in pairs])
    where = places_of(row, 4, 3, by)
    laid = lay(where, [by], np.float64, axis=None, fill=-1)
    for i in range(4):
        expected = sorted((pair[1] for pair in pairs if pair[0] == i), reverse=True)[:3]
        assert laid[i].tolist() == expected + [-1.0] * (3 - len(expected))


def test_columns_lie_first_or_last() -> None:
    where = places(np.array([2, 0, 1]), 2)
    columns = np.arange(6.0).reshape(2, 3)
    first = lay(where, columns, np.float32)
    assert first.tolist() == [[[0, 1], [3, 4]], [[0, 0], [0, 0]], [[2, 0], [5, 0]]]
    np.testing.assert_array_equal(lay(where, columns, np.float32, axis=2), first.transpose(0, 2, 1))


def test_a_list_that_is_missing_has_no_entries() -> None:
    found = entries(ak.to_layout(ak.Array([[1, None], None, [2, 3]])))
    assert found.counts.tolist() == [1, 0, 2]
    assert found.row.tolist() == [0, 2, 2]
    assert ak.to_list(found.content) == [1, 2, 3]
