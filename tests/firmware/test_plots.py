from __future__ import annotations

import numpy as np
import pytest

from sonic.firmware.report import Distance
from sonic.firmware.search import Curve, search

pytest.importorskip("matplotlib")

from typing import TYPE_CHECKING

from sonic.firmware.plots import cost_of_error

if TYPE_CHECKING:
    from sonic.firmware.network import Network


def test_error_is_drawn_against_cost(mlp: Network) -> None:
    found = search(mlp, np.random.default_rng(1).normal(size=(30, 6)), 0.1)
    (axes,) = cost_of_error(Curve.of(found, 0.1)).axes
    uniform, best, bound = axes.lines
    assert np.array_equal(uniform.get_ydata(), [each.error for each in found.uniform])
    assert best.get_xdata()[0] == found.best.bit_products
    assert bound.get_ydata()[0] == 0.1


def test_distance_is_drawn_as_counted() -> None:
    distance = Distance.of("given", np.random.default_rng(1).normal(size=500))
    (axes,) = distance.picture().axes
    (steps,) = axes.patches
    values, edges, _ = steps.get_data()
    assert values.tolist() == list(distance.counts)
    assert np.allclose(edges[1:], distance.edges)
    assert [line.get_label() for line in axes.lines] == [f"median: {distance.median:.3g}", f"95 %: {distance.high:.3g}"]
