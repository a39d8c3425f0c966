from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.firmware.layers import Quantiser
from sonic.firmware.numbers import Fixed
from sonic.firmware.quantiser import cast, only, types

PARTS = st.tuples(st.integers(0, 1), st.integers(-1, 9), st.integers(-3, 5))


def quantiser(parts: list[tuple[int, int, int]], shape: tuple[int, ...]) -> Quantiser:
    each = (np.array(part).reshape(shape) for part in zip(*parts, strict=True))
    return Quantiser("q", ("x",), *each, "RND", "SAT")


@settings(max_examples=50)
@given(st.lists(PARTS, min_size=6, max_size=6), st.integers(0, 100))
def test_each_number_gets_its_type(parts: list[tuple[int, int, int]], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(8, 2, 3)) * 8
    made = cast(quantiser(parts, (2, 3)), Fixed.quantise, rows)
    for (signed, total, integer), values, column in zip(parts, made.reshape(8, 6).T, rows.reshape(8, 6).T, strict=True):
        if total < 1:
            assert not values.any()
        else:
            number = Fixed(total, integer, bool(signed), "RND", "SAT")
            assert np.array_equal(values, number.quantise(column))


def test_one_type_for_all_is_found() -> None:
    assert only(quantiser([(1, 4, 2)], (1,)), (2, 3)) == Fixed(4, 2, True, "RND", "SAT")
    assert only(quantiser([(1, 0, 2)], ()), (3,)) is None
    assert only(quantiser([(1, 4, 2), (1, 4, 3)], (2,)), (5, 2)) is None
    pieces = list(types(quantiser([(1, 4, 2), (1, 4, 3)], (2,)), (5, 2)))
    assert sorted(np.concatenate([where for _, where in pieces]).tolist()) == list(range(10))
