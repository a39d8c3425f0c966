from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Scale,
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


def test_powers_of_two_pile_up_in_products_of_tensors() -> None:
    layers = (
        Scale("a", ("x",), np.full(3, 2.0**-8), np.zeros(3)),
        Product("b", ("a", "a")),
        Product("c", ("b", "b")),
        Product("d", ("c", "c")),
    )
    network = Network("n", "x", (3,), layers)
    precision = Precision(Fixed(8, 10), Types(Fixed(8, 3, rounding="RND", overflow="SAT"), Fixed(2, -6), Fixed(2, 2)))
    rows = precision.input.quantise(np.random.default_rng(1).uniform(-512, 512, (200, 3)))
    expected = evaluate(network, precision, rows)
    assert len(np.unique(expected)) > 5
    assert (expected == precision.default.result.highest).any()
    assert np.array_equal(Logic(network, precision).predict(rows), expected)


TYPES = st.builds(
    Fixed,
    st.integers(1, 11),
    st.integers(-3, 12),
    st.booleans(),
    st.sampled_from(["TRN", "RND"]),
    st.sampled_from(["WRAP", "SAT", "SAT_SYM"]),
)


@given(TYPES, st.lists(TYPES, min_size=8, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_numbers_have_the_references_bits(first: Fixed, types: list[Fixed], seed: int) -> None:
    """Of one bit, far from the point, without a sign behind such as have one, weights of which all are zero."""
    random = np.random.default_rng(seed)
    layers = (
        Dense("a", ("x",), random.normal(size=(3, 2)), random.normal(size=2)),
        Scale("s", ("a",), random.normal(size=2), random.normal(size=2)),
        Sum("u", ("s", "a")),
        Activation("r", ("u",), "leaky_relu", float(random.uniform(-1, 1))),
    )
    network = Network("n", "x", (3,), layers)
    each = {layer.name: Types(*types[n : n + 3]) for n, layer in enumerate(layers)}
    precision = Precision(first, layers=each)
    rows = first.quantise(random.uniform(first.lowest, first.highest, (50, 3)))
    assert np.array_equal(Logic(network, precision).predict(rows), evaluate(network, precision, rows))


@pytest.mark.parametrize("bits", [16, 20, 24, 26])
def test_products_wider_than_any_type(bits: int) -> None:
    """da4ml's interpreter wraps numbers to 32 bits at most, and sums of such products are beyond that."""
    random = np.random.default_rng(bits)
    layers = (
        Scale("s", ("x",), random.normal(size=8), random.normal(size=8)),
        Activation("r", ("s",), "leaky_relu", float(random.uniform(0.1, 0.9))),
        Product("p", ("r", "x")),
    )
    network = Network("n", "x", (8,), layers)
    precision = Precision(Fixed(26, 4), Types(Fixed(26, 6), Fixed(bits, 3), Fixed(bits, 3)))
    rows = precision.input.quantise(random.uniform(-8, 8, (300, 8)))
    assert np.array_equal(Logic(network, precision).predict(rows), evaluate(network, precision, rows))


def test_outputs_that_no_type_holds() -> None:
    nothing = Network("n", "x", (2,), (Dense("a", ("x",), np.zeros((2, 1)), np.zeros(1)),))
    logic = Logic(nothing, Precision())
    assert logic.predict(np.ones((3, 2))).tolist() == [[0.0]] * 3
    with pytest.raises(ConfigError, match="its inputs take 0 bits together, and Verilog's 1 to 32"):
        logic.formats()


@pytest.mark.parametrize("integer", [44, -26])
def test_numbers_far_from_one_are_refused(integer: int) -> None:
    network = Network("n", "x", (2,), (Activation("cut", ("x",), "relu"),))
    far, near = Fixed(8, integer), Fixed(8, 4)
    message = rf"the last bit of {far} is 2\*\*{integer - 8}, and da4ml has 2\*\*-32 to 2\*\*31; hls4ml"
    with pytest.raises(ConfigError, match=f"the input: {message}"):
        Logic(network, Precision(far, Types(near)))
    with pytest.raises(ConfigError, match=f"layer 'cut': {message}"):
        Logic(network, Precision(near, Types(far)))


def test_weights_that_float32_does_not_hold_are_refused() -> None:
    network = Network("n", "x", (2,), (Dense("wide", ("x",), np.full((2, 1), 1 / 3), np.zeros(1)),))
    with pytest.raises(ConfigError, match=r"layer 'wide': its weights of ap_fixed<30,2> need more than the 24 bits"):
        Logic(network, Precision(Fixed(8, 3), Types(weight=Fixed(30, 2))))
    Logic(network, Precision(Fixed(8, 3), Types(weight=Fixed(24, 2))))


def test_tables_that_no_machine_holds_are_refused() -> None:
    network = Network("n", "x", (2,), (Activation("s", ("x",), "sigmoid"),))
    Logic(network, Precision(Fixed(18, 4)))
    with pytest.raises(ConfigError, match=r"cannot have network 'n': .* an entry for each number of 32 bits, and 20"):
        Logic(network, Precision(Fixed(32, 4)))


def test_recurrent_networks_are_refused() -> None:
    gates = GATES["gru"] * 2
    arrays = (np.zeros(shape) for shape in ((1, gates), (2, gates), gates, gates))
    network = Network("n", "x", (3, 1), (Recurrent("memory", ("x",), "gru", *arrays),))
    with pytest.raises(ConfigError, match="layer 'memory': da4ml has no recurrent networks; hls4ml-vitis has"):
        Logic(network, Precision.uniform(Fixed(8, 3)))
