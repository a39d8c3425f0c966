from __future__ import annotations

from math import nan

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.network import Dense, Network, Upsampling
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate, trace


def test_a_product_by_hand() -> None:
    network = Network("n", "x", (2,), (Dense("d", ("x",), np.array([[0.75], [-1.3]]), np.array([0.1])),))
    precision = Precision.uniform(Fixed(6, 4))  # steps of a quarter
    # 1.3 becomes 1.25 of the input; weights 0.75 and -1.5; the bias 0; their sum -0.5625 is cut to -0.75.
    assert evaluate(network, precision, [[1.3, 1.0]]).tolist() == [[-0.75]]
    assert evaluate(network, None, [[1.3, 1.0]])[0, 0] == pytest.approx(0.75 * 1.3 - 1.3 + 0.1)


def test_rows_do_not_depend_on_each_other(cnn: Network, mixed: Precision) -> None:
    rows = np.random.default_rng(1).normal(size=(7, 6, 5, 2))
    precision = Precision(mixed.input, mixed.default)
    whole = evaluate(cnn, precision, rows)
    assert np.array_equal(whole, np.concatenate([evaluate(cnn, precision, row[None]) for row in rows]))
    assert evaluate(cnn, precision, rows[:0]).shape == (0, 2)
    broken = rows.copy()
    broken[3, 2, 2, 0] = nan
    again = evaluate(cnn, precision, broken)
    assert np.array_equal(np.delete(again, 3, 0), np.delete(whole, 3, 0))


def test_more_bits_come_closer(cnn: Network) -> None:
    rows = np.random.default_rng(2).normal(size=(50, 6, 5, 2))
    exact = evaluate(cnn, None, rows)
    apart = [np.abs(evaluate(cnn, Precision.uniform(Fixed(8 + n, 8)), rows) - exact).max() for n in (4, 8, 12)]
    assert apart[0] > apart[1] > apart[2]
    assert apart[2] < 1e-2


def test_each_layer_can_be_looked_at(mlp: Network, mixed: Precision) -> None:
    rows = np.random.default_rng(3).normal(size=(20, 6))
    seen = trace(mlp, mixed, rows)
    assert set(seen) == {"x", *(layer.name for layer in mlp.layers)}
    assert (seen["cut"] >= 0).all()
    assert np.array_equal(seen["first"], Fixed(12, 5).quantise(seen["first"]))


def test_rows_of_another_shape(mlp: Network) -> None:
    with pytest.raises(ConfigError, match=r"takes rows of \[6\], given \[3, 5\]"):
        evaluate(mlp, Precision(), np.zeros((3, 5)))


def test_an_image_becomes_larger() -> None:
    network = Network("n", "x", (2, 2, 1), (Upsampling("u", ("x",), (1, 3)),))
    image = evaluate(network, Precision.uniform(Fixed(6, 4)), [[[[1.3], [2]], [[3], [4]]]])
    assert image[0, :, :, 0].tolist() == [[1.25, 1.25, 1.25, 2, 2, 2], [3, 3, 3, 4, 4, 4]]
    with pytest.raises(ConfigError, match=r"'u' takes 2 dimensions and channels, given \[4, 1\]"):
        Network("n", "x", (4, 1), network.layers)
