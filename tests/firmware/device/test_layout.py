from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.firmware.device.layout import Layout
from sonic.firmware.numbers import Fixed

fixed = st.builds(
    Fixed,
    st.integers(1, 32),
    st.integers(-3, 12),
    st.booleans(),
    st.sampled_from(["TRN", "RND"]),
    st.sampled_from(["WRAP", "SAT"]),
)


def test_a_block_as_the_firmware_of_faast_has_it() -> None:
    number = Fixed(16, 6)
    layout = Layout(64, 18, 1, number, number)
    assert (layout.row_bytes_in, layout.n_bytes_in, layout.n_bytes_out) == (64, 64 * 64, 2 * 64)
    packed = layout.pack(np.array([[1.0, -0.5, *[0.0] * 16], [0.0] * 17 + [31.0]]))
    words = packed.view("<i2").reshape(64, 32)
    assert words[0, :3].tolist() == [1024, -512, 0]
    assert words[1, 17] == 31 * 1024
    assert not words[2:].any()
    made = np.zeros(64, "<i2")
    made[:2] = [3, -1024]
    assert layout.unpack(made.view(np.uint8), 2).tolist() == [[3 / 1024], [-1.0]]


@given(fixed, st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_numbers_come_back_as_the_type_has_them(number: Fixed, width: int, n_rows: int, seed: int) -> None:
    layout = Layout(9, width, width, number, number)
    values = np.random.default_rng(seed).uniform(2 * number.lowest - 1, 2 * number.highest + 1, (n_rows, width))
    packed = layout.pack(values).reshape(9, layout.row_bytes_in)
    results = np.zeros(layout.n_bytes_out, np.uint8)
    dense = np.ascontiguousarray(packed[:, : layout.row_bytes_out]).reshape(-1)
    results[: len(dense)] = dense
    np.testing.assert_array_equal(layout.unpack(results, n_rows), number.quantise(values))


@pytest.mark.parametrize(("bits", "n_bytes"), [(8, 1), (9, 2), (16, 2), (17, 4), (32, 4)])
def test_a_number_takes_the_fewest_bytes(bits: int, n_bytes: int) -> None:
    layout = Layout(1, 1, 1, Fixed(16, 6), Fixed(bits, 4))
    assert layout.row_bytes_out == n_bytes
