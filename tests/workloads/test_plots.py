from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.plots import met_resolution, roc_curves


def test_curves():
    line = np.linspace(0, 1, 5)
    figure = roc_curves({"b against light": (line, line**2)}, "test")
    assert figure.axes[0].get_yscale() == "log"
    assert len(figure.axes[0].lines) == 1
    edges = np.array([20.0, 50.0, 100.0])
    figure = met_resolution(edges, {"DeepMET": (np.array([15.0, 18.0]), np.array([0.9, 1.0]))})
    assert len(figure.axes) == 2
    assert figure.axes[0].lines[0].get_xdata().tolist() == [35.0, 75.0]
