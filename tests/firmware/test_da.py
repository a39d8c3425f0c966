from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.layers import GATES
from sonic.firmware.network import (
    Activation,
    Concatenation,
    Dense,
    Difference,
    Network,
    Product,
    Recurrent,
    Reshape,
    Softmax,
    Sum,
)
from sonic.firmware.numbers import Fixed, Types
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate

pytest.importorskip("da4ml")
from sonic.firmware.da import Logic


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tables_and_merges_have_the_references_bits(count: int) -> None:
    random = np.random.default_rng(count)
    layers = (
        Dense("a", ("x",), random.normal(size=(3, 4)), random.normal(size=4)),
        Activation("s", ("a",), "sigmoid"),
        Activation("t", ("a",), "tanh"),
        Product("p", ("s", "t")),
        Difference("d", ("p", "a")),
        Sum("u", ("d", "t")),
        Concatenation("c", ("u", "s")),
        Reshape("r", ("c",), (2, 4)),
        Reshape("f", ("r",), (8,)),
        Dense("b", ("f",), random.normal(size=(8, count)), random.normal(size=count)),
        Softmax("o", ("b",)),
    )
    network = Network("n", "x", (3,), layers)
    rounded = Types(Fixed(9, 3, rounding="RND", overflow="SAT"), table=Fixed(10, 2, rounding="RND", overflow="SAT"))
    default = Types(Fixed(9, 4), Fixed(7, 3), Fixed(7, 3), Fixed(11, 2), 256)
    precision = Precision(Fixed(8, 4), default, dict.fromkeys(("t", "c", "o"), rounded))
    logic = Logic(network, precision)
    rows = precision.input.quantise(random.uniform(-10, 10, (500, 3)))
    assert np.array_equal(logic.predict(rows), evaluate(network, precision, rows))
    assert logic.cost.luts > 0


def test_recurrent_networks_are_refused() -> None:
    gates = GATES["gru"] * 2
    arrays = (np.zeros(shape) for shape in ((1, gates), (2, gates), gates, gates))
    network = Network("n", "x", (3, 1), (Recurrent("memory", ("x",), "gru", *arrays),))
    with pytest.raises(ConfigError, match="layer 'memory': da4ml has no recurrent networks; hls4ml-vitis has"):
        Logic(network, Precision.uniform(Fixed(8, 3)))
