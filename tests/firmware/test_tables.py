from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.firmware.numbers import Fixed
from sonic.firmware.tables import REACH, entries, exact, exponentials, looked_up, reciprocals, softmax_types


def test_a_table_by_hand() -> None:
    number = Fixed(6, 2)  # steps of a sixteenth
    # 16 entries from -4 on, one each half: tanh(-0.5) = -0.462 is cut to -0.5, tanh(1) = 0.762 to 0.75.
    table = entries("tanh", number, 16)
    assert table[[0, 7, 8, 10, 15]].tolist() == [-1.0, -0.5, 0.0, 0.75, 0.9375]
    tanh = looked_up("tanh", number, 16)
    assert tanh(np.array([0.99, 1.0, -0.49, -0.5, -0.99])).tolist() == [0.4375, 0.75, 0.0, -0.5, -0.5]
    assert tanh(np.array([-5.0, -1e9, 1e9])).tolist() == [-1.0, -1.0, 0.9375]
    assert np.isnan(tanh(np.array([nan, inf, -inf]))).all()
    assert entries("sigmoid", Fixed(8, 1), 16)[8] == 0.5


@given(st.sampled_from(sorted(REACH)), st.integers(4, 12), st.floats(-20, 20))
def test_a_table_is_as_good_as_its_steps(kind: str, size_bits: int, value: float) -> None:
    number, size = Fixed(14, 2, rounding="RND", overflow="SAT"), 2**size_bits
    found = looked_up(kind, number, size)(np.array([value]))
    bounded = np.clip(value, -REACH[kind], REACH[kind])
    slope = 1.0 if kind == "tanh" else 0.25
    assert abs(found - exact(kind, bounded)) <= slope * 2 * REACH[kind] / size + number.step


@pytest.mark.parametrize("count", [1, 2, 5, 8, 100])
def test_all_bits_between_the_tables_of_a_softmax_address_them(count: int) -> None:
    number, size = Fixed(12, 2), 256
    below, whole, address = softmax_types(number, size, count)
    assert (below.total, address.total) == (8, 8)
    assert whole.highest >= count * number.quantise(1.0)
    assert address.highest >= count - address.step
    steps = np.arange(size)
    assert np.abs(exponentials(number, size)(steps * below.step) - np.exp(-steps * below.step)).max() < number.step
    sums = steps[1:] * address.step
    sums = sums[sums >= 1]
    assert np.abs(reciprocals(number, size, address)(sums) - 1 / sums).max() < number.step


def test_what_is_beyond_float64(recwarn: pytest.WarningsRecorder) -> None:
    assert exact("sigmoid", np.array([-1000.0, 1000.0])).tolist() == [0.0, 1.0]
    assert not recwarn.list
