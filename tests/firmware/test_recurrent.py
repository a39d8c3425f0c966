from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.firmware.layers import GATES, Recurrent
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed, Types
from sonic.firmware.precision import Precision
from sonic.firmware.recurrent import accumulator
from sonic.firmware.reference import evaluate, trace


def recurrent(cell: Any, seed: int = 1, *, channels: int = 3, states: int = 4, every_step: bool = False) -> Recurrent:
    random = np.random.default_rng(seed)
    gates = GATES[cell] * states
    shapes = (channels, gates), (states, gates), (gates,), (gates,)
    return Recurrent("cell", ("x",), cell, *(random.normal(size=shape) / 2 for shape in shapes), every_step)


def test_a_step_by_hand() -> None:
    one = np.ones((1, 3))
    layer = Recurrent("cell", ("x",), "gru", one * 0, one * 0, np.array([0.0, 0.0, 1.0]), np.zeros(3))
    network = Network("n", "x", (2, 1), (layer,))
    # The gate z is a half; of the state 1, which tanh makes 0.75, a half comes in with each step.
    types = Types(Fixed(8, 2), Fixed(4, 2), Fixed(4, 2), Fixed(6, 2), 16)
    assert evaluate(network, Precision(Fixed(8, 4), types), np.zeros((1, 2, 1))).tolist() == [[0.5625]]


@pytest.mark.parametrize("cell", sorted(GATES))
def test_more_bits_come_closer(cell: str) -> None:
    network = Network("n", "x", (5, 3), (recurrent(cell),))
    rows = np.random.default_rng(2).normal(size=(50, 5, 3))
    exact = evaluate(network, None, rows)
    apart = []
    for bits in (4, 7, 10):
        types = Types(*(Fixed(4 + bits, 4, rounding="RND"),) * 4, table_size=2 ** (bits + 6))
        apart.append(np.abs(evaluate(network, Precision(types.result, types), rows) - exact).max())
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 1e-2


@pytest.mark.parametrize("cell", sorted(GATES))
def test_the_last_of_all_steps(cell: str) -> None:
    rows = np.random.default_rng(3).normal(size=(7, 5, 3))
    every, last = (Network("n", "x", (5, 3), (recurrent(cell, every_step=each),)) for each in (True, False))
    assert every.shapes["cell"] == (5, 4)
    precision = Precision(Fixed(12, 4), Types(Fixed(12, 4), Fixed(8, 2), Fixed(8, 2), Fixed(10, 2)))
    assert np.array_equal(evaluate(every, precision, rows)[:, -1], evaluate(last, precision, rows))
    rows[2, 4, 1] = np.nan
    broken = evaluate(last, precision, rows)
    assert np.isnan(broken[2]).all()
    assert np.isfinite(np.delete(broken, 2, 0)).all()


numbers = st.builds(Fixed, st.integers(2, 10), st.integers(-2, 6))


@given(st.sampled_from(sorted(GATES)), numbers, numbers, numbers, numbers, st.integers(0, 99))
def test_no_sum_needs_more_than_the_accumulator(
    cell: str, given_number: Fixed, result: Fixed, weight: Fixed, bias: Fixed, seed: int
) -> None:
    layer = recurrent(cell, seed)
    types = Types(result, weight, bias, Fixed(8, 2))
    total, integer = accumulator(layer, given_number, types)
    random = np.random.default_rng(seed)
    x, h = (random.choice([each.lowest, each.highest], (50, n)) for each, n in ((given_number, 3), (result, 4)))
    sums = x @ weight.quantise(layer.weight) + bias.quantise(layer.bias)
    sums = np.concatenate([sums, sums + h @ weight.quantise(layer.recurrent) + bias.quantise(layer.recurrent_bias)])
    assert np.abs(sums).max() < 2.0 ** (integer - 1)
    assert not (sums % 2.0 ** (integer - total)).any()


def test_one_behind_the_other() -> None:
    second = replace(recurrent("lstm", channels=4), name="next", inputs=("cell",))
    network = Network("n", "x", (5, 3), (recurrent("gru", every_step=True), second))
    seen = trace(network, None, np.random.default_rng(4).normal(size=(2, 5, 3)))
    assert seen["cell"].shape == (2, 5, 4)
    assert seen["next"].shape == (2, 4)
