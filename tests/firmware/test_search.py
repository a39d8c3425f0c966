from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError, DataError
from sonic.firmware.layers import Activation, Dense, Product, Quantiser, Recurrent, Trees
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed, Types
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate
from sonic.firmware.search import Curve, bit_products, multiplications, read_curve, search

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.search import Found


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(200, 6))


@pytest.fixture(scope="module")
def found(mlp: Network, rows: np.ndarray) -> Found:
    return search(mlp, rows, 0.02)


def test_it_stays_within_the_error_with_fewer_bits(mlp: Network, rows: np.ndarray, found: Found) -> None:
    exact = evaluate(mlp, None, rows)
    apart = evaluate(mlp, found.best.precision, rows) - exact
    assert np.sqrt(np.mean(apart**2) / np.mean(exact**2)) == pytest.approx(found.best.error)
    assert found.best.error <= 0.02
    assert found.uniform[-1].error <= 0.02 < found.uniform[-2].error
    assert found.best.bit_products < found.uniform[-1].bit_products
    assert found.best.bit_products == bit_products(mlp, found.best.precision)


def test_no_layer_can_spare_a_bit(mlp: Network, rows: np.ndarray, found: Found) -> None:
    from dataclasses import replace

    exact = evaluate(mlp, None, rows)
    kept = found.best.precision
    for name, types in kept.layers.items():
        if types.result.total > 1:
            fewer = replace(types, result=replace(types.result, total=types.result.total - 1))
            apart = evaluate(mlp, Precision(kept.input, kept.default, {**kept.layers, name: fewer}), rows) - exact
            assert np.sqrt(np.mean(apart**2) / np.mean(exact**2)) > 0.02


def test_it_is_the_same_each_time(mlp: Network, rows: np.ndarray, found: Found) -> None:
    said: list[str] = []
    assert search(mlp, rows, 0.02, progress=said.append) == found
    assert said[-1].startswith(f"{found.best.bit_products:,} bit products")


def test_the_numbers_hold_what_the_rows_have(cnn: Network) -> None:
    rows = np.random.default_rng(2).normal(size=(20, 6, 5, 2)) * 100
    best = search(cnn, rows, 0.05).best
    assert best.precision.input.holds(rows).all()


@pytest.mark.parametrize(
    ("rows", "bound", "says"),
    [
        (np.zeros((0, 6)), 0.1, "not none"),
        (np.full((2, 6), np.nan), 0.1, "are finite"),
        (np.ones((2, 6)), 1.5, "between 0 and 1, given 1.5"),
        (np.ones((2, 6)), 1e-9, "16 bits behind the point leave an error"),
    ],
)
def test_what_cannot_be_searched(mlp: Network, rows: np.ndarray, bound: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        search(mlp, rows, bound)


def test_its_curve_is_kept(found: Found, tmp_path: Path) -> None:
    curve = Curve.of(found, 0.02)
    assert curve.best == (found.best.bit_products, found.best.error)
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps({"search": asdict(curve)}))
    assert read_curve(file) == curve
    file.write_text("{}")
    for each in (file, tmp_path / "nothing.json"):
        with pytest.raises(DataError, match="holds no search"):
            read_curve(each)


def test_what_has_no_bits_to_spare() -> None:
    one, none = np.ones(1, np.int64), np.full(1, -1)
    quantiser = Quantiser("q", ("x",), one, one, one, "RND", "SAT")
    trees = Trees("t", ("x",), none, np.zeros(1), none, none, np.ones(1), one - 1, one - 1, np.zeros(1))
    for layer, says in ((quantiser, "a training has chosen"), (trees, "decision trees have none")):
        with pytest.raises(ConfigError, match=says):
            search(Network("n", "x", (1,), (layer,)), np.ones((3, 1)), 0.1)


def test_recurrent_networks_and_tables() -> None:
    random = np.random.default_rng(2)
    arrays = (random.normal(size=shape) for shape in ((3, 8), (2, 8), (8,), (8,)))
    layers = Recurrent("r", ("x",), "lstm", *arrays), Activation("s", ("r",), "sigmoid")
    network = Network("n", "x", (4, 3), layers)
    steps = random.normal(size=(100, 4, 3))
    best = search(network, steps, 0.02).best
    types = best.precision.of("r")
    # What an LSTM remembers is beyond what it gives, which is below 1.
    assert types.result.highest > 3
    assert bit_products(network, best.precision) == 4 * (24 + 16) * types.weight.total * best.precision.input.total
    assert best.precision.of("s").table.fraction >= 4


def test_all_multiplications_of_a_row_are_counted() -> None:
    random = np.random.default_rng(4)
    each = Dense("each", ("x",), random.normal(size=(3, 4)), np.zeros(4))  # at every of five steps
    other = Dense("other", ("x",), random.normal(size=(3, 4)), np.zeros(4))
    network = Network("steps", "x", (5, 3), (each, other, Product("gated", ("each", "other"))))
    assert [multiplications(network, layer) for layer in network.layers] == [60, 60, 20]
    types = {name: Types(Fixed(bits, 2), Fixed(6, 2)) for name, bits in (("each", 9), ("other", 7))}
    assert bit_products(network, Precision(Fixed(8, 2), layers=types)) == 2 * 60 * 8 * 6 + 20 * 9 * 7


def test_a_product_of_tensors_has_no_weights_to_search() -> None:
    random = np.random.default_rng(4)
    each, other = (Dense(name, ("x",), random.normal(size=(3, 4)), np.zeros(4)) for name in ("each", "other"))
    network = Network("gates", "x", (3,), (each, other, Product("gated", ("each", "other"))))
    found = search(network, random.normal(size=(50, 3)), 0.05)
    uniform = found.uniform[-1].precision.of("gated")
    kept = found.best.precision.of("gated")
    assert kept.weight.fraction - uniform.weight.fraction in (0, 1), "as the search began"
    assert found.best.error <= 0.05
