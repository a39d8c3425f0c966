from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.firmware import da
from sonic.firmware.build import build
from sonic.firmware.exact import exactly, holding
from sonic.firmware.layers import (
    Activation,
    Convolution,
    Dense,
    Flatten,
    Pooling,
    Quantiser,
    Scale,
    Softmax,
    Sum,
)
from sonic.firmware.network import Network
from sonic.firmware.numbers import DEFAULT, Fixed
from sonic.firmware.reference import evaluate, trace

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.layers import Layer

RANDOM = np.random.default_rng(5)


def eighths(*shape: int) -> np.ndarray:
    return RANDOM.integers(-12, 13, shape) / 8


def quantiser(name: str, given: str, total: object, integer: object, signed: object = 1) -> Quantiser:
    parts = (np.asarray(part, np.int64) for part in (signed, total, integer))
    return Quantiser(name, (given,), *parts, "RND", "SAT_SYM")


@pytest.fixture(scope="module")
def trained() -> Network:
    """As after a training with quantisers: one for the input, one a number for what a layer gives."""
    return Network(
        "trained",
        "x",
        (5,),
        (
            quantiser("q0", "x", 8, 3),
            Dense("first", ("q0",), eighths(5, 4), eighths(4)),
            Activation("cut", ("first",), "relu"),
            quantiser("q1", "cut", [6, 5, 0, 7], [3, 3, 0, 4], [0, 0, 0, 1]),
            Dense("last", ("q1",), eighths(4, 3), np.zeros(3)),
            quantiser("q2", "last", 9, 5),
        ),
    )


def walked(network: Network, rows: np.ndarray) -> np.ndarray:
    """Round where quantisers are, and nowhere else."""
    x = Fixed(8, 3, True, "RND", "SAT_SYM").quantise(rows)
    first, last = network.layers[1], network.layers[4]
    assert isinstance(first, Dense)
    assert isinstance(last, Dense)
    h = np.maximum(x @ first.weight + first.bias, 0)
    for n, (total, integer, signed) in enumerate(((6, 3, False), (5, 3, False), (0, 0, False), (7, 4, True))):
        h[:, n] = Fixed(total, integer, signed, "RND", "SAT_SYM").quantise(h[:, n]) if total else 0
    return Fixed(9, 5, True, "RND", "SAT_SYM").quantise(h @ last.weight)


def test_only_quantisers_round(trained: Network) -> None:
    network, precision = exactly(trained)
    assert [layer.name for layer in network.layers] == ["first", "cut", "q1", "last"]
    assert precision.input == Fixed(8, 3, True, "RND", "SAT_SYM")
    assert precision.of("last").result == Fixed(9, 5, True, "RND", "SAT_SYM")
    rows = RANDOM.normal(size=(500, 5)) * 4
    assert np.array_equal(evaluate(network, precision, rows), walked(trained, rows))


def test_all_routes_have_those_bits(trained: Network, tmp_path: Path) -> None:
    network, precision = exactly(trained)
    rows = precision.input.quantise(RANDOM.normal(size=(200, 5)) * 4)
    expected = walked(trained, rows)
    pytest.importorskip("da4ml")
    assert np.array_equal(da.Logic(network, precision).predict(rows), expected)
    pytest.importorskip("hls4ml")
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    made = build(network, precision, tmp_path / "vitis", route="hls4ml-vitis")
    assert np.array_equal(made.emulator()(rows, 1), expected)
    with pytest.raises(ConfigError, match="types of their own are for Vitis"):
        build(network, precision, tmp_path / "quartus", route="hls4ml-quartus")


def test_nothing_in_between_rounds() -> None:
    layers: tuple[Layer, ...] = (
        quantiser("q0", "x", 6, 3),
        Scale("norm", ("q0",), np.array([0.5, 4.0]), np.array([0.25, -64.0])),
        Convolution("edges", ("norm",), eighths(3, 3, 2, 2), eighths(2), (1, 1), ((1, 1), (1, 1))),
        Activation("bent", ("edges",), "leaky_relu", 0.25),
        Sum("both", ("norm", "bent")),
        Pooling("mean", ("both",), "average", (2, 2), (2, 2)),
        Flatten("row", ("mean",)),
        Dense("last", ("row",), eighths(8, 2), eighths(2)),
    )
    network = Network("cnn", "x", (4, 4, 2), layers)
    made, precision = exactly(network)
    rows = precision.input.quantise(RANDOM.uniform(-9, 9, (100, 4, 4, 2)))
    there, free = trace(made, precision, rows), trace(made, None, rows)
    for layer in made.layers:
        assert np.array_equal(there[layer.name], free[layer.name]), layer.name


@pytest.mark.parametrize("slope", [-2.0, -0.25, 1.5])
def test_slopes_that_lead_upwards_or_are_steep(slope: float) -> None:
    layers = (quantiser("q0", "x", 6, 3), Activation("bent", ("q0",), "leaky_relu", slope), dense_of("bent"))
    made, precision = exactly(Network("n", "x", (2,), layers))
    rows = precision.input.quantise(RANDOM.uniform(-4, 4, (100, 2)))
    assert np.array_equal(evaluate(made, precision, rows), evaluate(made, None, rows))


def test_what_is_not_quantised_stays_as_it_is() -> None:
    dense = Dense("d", ("x",), eighths(3, 2), eighths(2))
    network, precision = exactly(Network("n", "x", (3,), (dense, quantiser("q", "d", [3, 4], 2), dense_of("q"))))
    assert precision.input == DEFAULT
    assert [layer.name for layer in network.layers] == ["d", "q", "e"]


@pytest.mark.parametrize("overflow", ["WRAP", "SAT", "SAT_SYM"])
@pytest.mark.parametrize("rounding", ["TRN", "RND"])
@pytest.mark.parametrize("moved", [False, True])
def test_an_input_of_several_types_is_taken_as_it_comes(overflow: Any, rounding: Any, moved: bool) -> None:
    """Wider than the usual type, with a sign or none, beyond what they hold, and in the middle of two steps."""
    kinds = [Fixed(14, 10, True, rounding, overflow), Fixed(9, -3, False, rounding, overflow), None]
    parts = [[each.signed, each.total, each.integer] if each else [0, 0, 0] for each in kinds]
    signed, total, integer = (np.array(part, np.int64) for part in zip(*parts, strict=True))
    first = Flatten("row", ("x",))
    last = Quantiser("q", ("row" if moved else "x",), signed, total, integer, rounding, overflow)
    layers = (first, last) if moved else (last,)
    network, precision = exactly(Network("n", "x", (3,), (*layers, Sum("s", ("q", "q")))))
    rows = RANDOM.normal(size=(400, 3)) * [600.0, 0.1, 1.0]
    rows[:200] = np.round(rows[:200] * 2.0**13) / 2.0**13
    given = [np.zeros(400) if number is None else number.quantise(rows[:, n]) for n, number in enumerate(kinds)]
    assert np.array_equal(evaluate(network, precision, rows), 2 * np.stack(given, axis=1))


def test_an_input_that_no_type_can_be_had_for() -> None:
    ways = [Quantiser(f"q{way}", ("x",), *map(np.array, (1, 8, 3)), "TRN", way) for way in ("WRAP", "SAT")]
    with pytest.raises(ConfigError, match="the input both wraps and saturates"):
        exactly(Network("n", "x", (2,), (*ways, Sum("s", ("qWRAP", "qSAT")))))
    with pytest.raises(ConfigError, match=r"the input needs a type for all of its quantisers: .*<37,24"):
        exactly(Network("n", "x", (2,), (quantiser("q", "x", 12, [24, 0]), dense_of("q"))))


def test_two_quantisers_in_a_row_both_round() -> None:
    first, second = quantiser("q0", "x", 8, 3), quantiser("q1", "q0", 4, 3)
    coarse, fine = quantiser("q2", "d", 5, 4), quantiser("q3", "q2", 9, 4)
    dense = Dense("d", ("q1",), np.eye(2) * 1.125, np.zeros(2))
    network, precision = exactly(Network("n", "x", (2,), (first, second, dense, coarse, fine)))
    assert [layer.name for layer in network.layers] == ["q1", "d", "q3"]
    rows = RANDOM.normal(size=(300, 2)) * 3
    x = rows
    for total in (8, 4):
        x = Fixed(total, 3, True, "RND", "SAT_SYM").quantise(x)
    expected = Fixed(5, 4, True, "RND", "SAT_SYM").quantise(x * 1.125)
    assert np.array_equal(evaluate(network, precision, rows), expected)


def test_what_others_take_as_it_is_stays() -> None:
    rough = quantiser("q", "d", 3, 3)
    dense = Dense("d", ("x",), np.eye(2) / 4, np.zeros(2))
    network, precision = exactly(Network("n", "x", (2,), (dense, rough, Sum("s", ("d", "q")))))
    assert [layer.name for layer in network.layers] == ["d", "q", "s"]
    x = precision.input.quantise(RANDOM.normal(size=(100, 2)) * 8)
    rounded = Fixed(3, 3, True, "RND", "SAT_SYM").quantise(x / 4)
    assert np.array_equal(evaluate(network, precision, x), x / 4 + rounded)


def dense_of(given: str) -> Dense:
    return Dense("e", (given,), eighths(2, 2), eighths(2))


def test_constants_are_held_exactly() -> None:
    assert holding(np.array([0.0, 0.0]), "w") == Fixed(1, 1, False)
    assert holding(np.array([3.0, 0.25]), "w") == Fixed(4, 2, False)
    assert holding(np.array([-2.0, 1.5]), "w") == Fixed(3, 2)
    assert holding(np.array([8.0, -24.0]), "w") == Fixed(3, 6)
    for values in (np.array([-1.0, 0.375, 0.0]), np.array([2.0**-20, 2.0**-12])):
        assert np.array_equal(holding(values, "w").quantise(values), values)


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**12), 2**12), min_size=1, max_size=5), st.integers(-6, 18))
def test_no_narrower_type_holds_them(counts: list[int], fraction: int) -> None:
    values = np.array(counts) * 2.0**-fraction
    number = holding(values, "w")
    assert np.array_equal(number.quantise(values), values)
    if number.total > 1:
        coarser, shorter = (replace(number, total=number.total - 1, integer=number.integer - n) for n in (0, 1))
        assert not np.array_equal(coarser.quantise(values), values)
        assert not np.array_equal(shorter.quantise(values), values)


def test_what_is_never_exact() -> None:
    for layer, says in (
        (Dense("d", ("x",), np.full((3, 1), 0.1), np.zeros(1)), "weights of 'd': no number of fixed point"),
        (Dense("d", ("x",), np.full((3, 1), 2.0**30), np.full(1, 2.0**-1)), "'d': its results need more than 32 bits"),
        (Softmax("s", ("x",)), "Softmax is never exact"),
    ):
        with pytest.raises(ConfigError, match=says):
            exactly(Network("n", "x", (3,), (layer,)))
