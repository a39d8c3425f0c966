from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.firmware.numbers import Fixed

NUMBERS = st.builds(
    Fixed,
    st.integers(1, 20),
    st.integers(-4, 24),
    st.booleans(),
    st.sampled_from(["TRN", "RND"]),
    st.sampled_from(["WRAP", "SAT"]),
)


@given(NUMBERS, st.floats(-1e6, 1e6))
def test_a_number_is_one_of_the_type_and_stays(number: Fixed, value: float) -> None:
    made = float(number.quantise(value))
    assert number.lowest <= made <= number.highest
    assert made / number.step == math.floor(made / number.step)
    assert float(number.quantise(made)) == made


@given(NUMBERS, st.floats(-1e6, 1e6))
def test_what_is_held_moves_by_less_than_a_step(number: Fixed, value: float) -> None:
    if number.lowest <= value <= number.highest - number.step:
        moved = float(number.quantise(value)) - value
        low, high = (-number.step, 0.0) if number.rounding == "TRN" else (-number.step / 2, number.step / 2)
        assert low <= moved <= high


@given(NUMBERS)
def test_a_type_is_read_from_its_name(number: Fixed) -> None:
    assert Fixed.parse(str(number)) == number


def test_it_cuts_rounds_wraps_and_saturates() -> None:
    values = [0.3, -0.3, 1.9, -2.1, 2.0]
    assert Fixed(3, 2).quantise(values).tolist() == [0.0, -0.5, 1.5, 1.5, -2.0]
    assert Fixed(3, 2, rounding="RND", overflow="SAT").quantise(values).tolist() == [0.5, -0.5, 1.5, -2.0, 1.5]
    assert Fixed(3, 2, signed=False).quantise([4.0, -0.5]).tolist() == [0.0, 3.5]
    assert Fixed(3, 3, rounding="RND").quantise([0.49999999999999994, 0.5, -0.5, -0.51]).tolist() == [0, 1, 0, -1]
    assert Fixed(3, 4).quantise([-5e-324, 5e-324, -0.0]).tolist() == [-2.0, 0.0, 0.0]


@pytest.mark.parametrize("overflow", ["WRAP", "SAT"])
def test_what_is_not_finite_is_no_number(overflow: str) -> None:
    number = Fixed.parse(f"fixed<8,4,TRN,{overflow}>")
    assert np.isnan(number.quantise([math.nan, math.inf, -math.inf])).all()
    assert number.holds([math.nan, math.inf, 7.9, 8.0]).tolist() == [False, False, True, False]


@given(
    st.builds(
        Fixed,
        st.integers(1, 32),
        st.integers(-40, 60),
        st.booleans(),
        st.sampled_from(["TRN", "RND"]),
        st.sampled_from(["WRAP", "SAT", "SAT_SYM"]),
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_number_becomes_what_whole_numbers_say(number: Fixed, value: float) -> None:
    """However large or small: compared with arithmetic that never rounds."""
    count = Fraction(value) * Fraction(2) ** number.fraction
    whole = math.floor(count + Fraction(1, 2) if number.rounding == "RND" else count)
    low, high = round(number.lowest / number.step), round(number.highest / number.step)
    whole = (whole - low) % 2**number.total + low if number.overflow == "WRAP" else min(max(whole, low), high)
    assert float(number.quantise(value)) == float(Fraction(whole) / Fraction(2) ** number.fraction)


def test_what_is_just_beyond_a_span_wraps() -> None:
    assert Fixed(16, 6).quantise([(2.0**52 + 1) * 64, -(2.0**52 + 1) * 64, 1e308]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("text", ["fixed<16,5000>", "fixed<16,-5000>", "fixed<16,99999999999999>"])
def test_a_point_that_is_nowhere_near(text: str) -> None:
    with pytest.raises(ConfigError, match="a number has -256 to 256 bits before its point"):
        Fixed.parse(text)


@pytest.mark.parametrize("text", ["", "ap_fixed<16>", "float", "fixed<0,0>", "fixed<33,1>", "fixed<8,4,FLOOR>"])
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ConfigError):
        Fixed.parse(text)


def test_symmetric_saturation_has_no_number_without_its_negative() -> None:
    number = Fixed.parse("fixed<4,2,RND,SAT_SYM>")
    assert str(number) == "ap_fixed<4,2,AP_RND,AP_SAT_SYM>"
    assert number.quantise([-5.0, -2.0, -1.75, 1.9]).tolist() == [-1.75, -1.75, -1.75, 1.75]
    assert (number.lowest, number.highest) == (-1.75, 1.75)
