from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.framework import Measured

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("value", "errors", "text"),
    [
        (0.97612, (0.0123,), "0.976 +- 0.012"),
        (0.99352, (0.00149, 0.00118), "0.9935 +0.0012 -0.0015"),
        (0.0, (0.0, 0.00025), "0.00000 +0.00025 -0.00000"),
        (29.13, (1.234,), "29.1 +- 1.2"),
        (1234.5, (67.8,), "1234 +- 68"),
        (0.5, (0.0996,), "0.50 +- 0.10"),
        (-2.2, (0.31, 0.309), "-2.20 +- 0.31"),
        (3.0, (np.nan,), "3"),
        (1 / 3, (0.0,), "0.33333"),
        (np.nan, (np.nan,), "nan"),
    ],
)
def test_it_has_the_digits_that_its_error_leaves(value: float, errors: tuple[float, ...], text: str) -> None:
    assert str(Measured(value, *errors)) == f"{Measured(value, *errors)}" == text


def test_it_is_a_number() -> None:
    found = Measured(2.0, 0.5, 0.25)
    assert found == 2
    assert found + 1 == 3
    assert f"{found:.3f}" == "2.000"
    assert f"{found:+}" == "+2.00 +0.25 -0.50"
    assert np.asarray([found, 1.0]).tolist() == [2.0, 1.0]


def test_in_another_unit_it_has_the_same_errors() -> None:
    found = Measured(1.02, 0.5, 0.25).less(1).scaled(100)
    assert (found, found.down, found.up) == pytest.approx((2, 50, 25))


@pytest.mark.parametrize("again", [copy.copy, lambda found: pickle.loads(pickle.dumps(found))])
def test_copies_keep_the_errors(again: Callable[[Measured], Measured]) -> None:
    found = again(Measured(2.0, 0.5, 0.25))
    assert (found, found.down, found.up) == (2, 0.5, 0.25)
