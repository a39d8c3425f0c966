from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.collections import PathCollection

from sonic.workloads.features import CELL_FEATURES, TAU_GRIDS
from sonic.workloads.miniaod.plots import tau_grids

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def markers(axes: Axes) -> list[list[float]]:
    return [
        point
        for drawn in axes.collections
        if isinstance(drawn, PathCollection)
        for point in drawn.get_offsets().tolist()
    ]


def test_a_marker_for_each_candidate_in_a_cell():
    inputs = {
        f"input_{grid}_{kind}": np.zeros((2, side, side, features), np.float32)
        for grid, (side, _) in TAU_GRIDS.items()
        for kind, features in CELL_FEATURES.items()
    }
    inputs["input_outer_muon"][1, 3, 20, 4:6] = 1.0, 0.5  # valid, and its share of the momentum
    inner, outer = (markers(axes) for axes in tau_grids(inputs, 1).axes)
    assert inner == []
    assert outer == [pytest.approx([-0.35, 0.5])]
    assert [markers(axes) for axes in tau_grids(inputs, 0).axes] == [[], []]
