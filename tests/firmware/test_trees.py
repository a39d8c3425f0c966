from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.firmware.layers import Trees
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision, Types
from sonic.firmware.reference import evaluate
from sonic.firmware.trees import most


def grown(seed: int, outputs: int = 2, *, strict: bool = False) -> Network:
    """Trees of depth two, and a single leaf."""
    random = np.random.default_rng(seed)
    count = 3
    nodes = [(0, 1, 4), (1, 2, 3), (-1, -1, -1), (-1, -1, -1), (2, 5, 6), (-1, -1, -1), (-1, -1, -1)]
    feature, left, right = (np.array(part * count + [-1]) for part in map(list, zip(*nodes, strict=True)))
    root = 7 * np.repeat(np.arange(count), 7)
    for child in (left, right):
        child[:-1] += np.where(child[:-1] < 0, 0, root)
    layer = Trees(
        "trees",
        ("x",),
        feature,
        random.normal(size=22),
        left,
        right,
        random.normal(size=22),
        np.array([0, 7, 14, 21]),
        np.array([0, 1, 0, 1]) % outputs,
        random.normal(size=outputs),
        strict,
    )
    return Network("forest", "x", (3,), (layer,))


def walk(network: Network, row: np.ndarray) -> np.ndarray:
    """Go from node to node."""
    (layer,) = network.layers
    assert isinstance(layer, Trees)
    sums = layer.start.copy()
    for root, output in zip(layer.roots, layer.outputs, strict=True):
        node = root
        while layer.feature[node] >= 0:
            given, threshold = row[layer.feature[node]], layer.threshold[node]
            node = (layer.left if given < threshold or (given == threshold and not layer.strict) else layer.right)[node]
        sums[output] += layer.value[node]
    return sums


@settings(max_examples=25)
@given(st.integers(0, 1000), st.booleans())
def test_a_row_goes_from_node_to_node(seed: int, strict: bool) -> None:
    network = grown(seed, strict=strict)
    (layer,) = network.layers
    rows = np.random.default_rng(seed).normal(size=(20, 3))
    rows[0, 0] = layer.threshold[0]  # type: ignore[attr-defined]
    assert evaluate(network, None, rows) == pytest.approx(np.array([walk(network, row) for row in rows]))


def test_thresholds_and_leaves_have_their_types() -> None:
    network = grown(1)
    types = Types(result=Fixed(8, 4), weight=Fixed(6, 3), bias=Fixed(8, 4))
    precision = Precision(Fixed(10, 4), Types(), {"trees": types})
    rows = np.random.default_rng(2).normal(size=(50, 3)) * 2
    made = evaluate(network, precision, rows)
    assert np.array_equal(made, types.result.quantise(made))
    assert np.abs(made - evaluate(network, None, rows)).max() > 0
    assert np.isnan(evaluate(network, precision, np.full((1, 3), np.nan))).all()


def test_what_is_too_much() -> None:
    network = grown(1)
    with pytest.raises(ConfigError, match="takes at least 3 numbers"):
        Network("forest", "x", (2,), network.layers)
    assert most(network.layers[0]) == 2  # type: ignore[arg-type]
