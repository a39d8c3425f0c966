from __future__ import annotations

import numpy as np
import pytest

from sonic.firmware.search import search

pytest.importorskip("matplotlib")

from typing import TYPE_CHECKING

from sonic.firmware.plots import cost_of_error

if TYPE_CHECKING:
    from sonic.firmware.network import Network


def test_error_is_drawn_against_cost(mlp: Network) -> None:
    found = search(mlp, np.random.default_rng(1).normal(size=(30, 6)), 0.1)
    (axes,) = cost_of_error(found, 0.1).axes
    uniform, best, bound = axes.lines
    assert np.array_equal(uniform.get_ydata(), [each.error for each in found.uniform])
    assert best.get_xdata()[0] == found.best.bit_products
    assert bound.get_ydata()[0] == 0.1
