from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.plots import compare_features, met_resolution, roc_curves


def test_features_are_drawn_sample_by_sample():
    rng = np.random.default_rng(0)
    samples = {name: rng.normal(size=(20, 3, 5)).astype(np.float32) for name in ("real", "generated")}
    samples["real"][:, 2] = rng.integers(0, 3, (20, 5))
    samples["generated"][:, 2] = 1
    masks = {name: np.ones((20, 1, 5), np.float32) for name in samples}
    figure = compare_features(samples, masks, ["pt", "eta", "charge"])
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["pt", "eta", "charge"]
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["real", "generated"]


def test_curves():
    line = np.linspace(0, 1, 5)
    figure = roc_curves({"b against light": (line, line**2)}, "test")
    assert figure.axes[0].get_yscale() == "log"
    assert len(figure.axes[0].lines) == 1
    edges = np.array([20.0, 50.0, 100.0])
    figure = met_resolution(edges, {"DeepMET": (np.array([15.0, 18.0]), np.array([0.9, 1.0]))})
    assert len(figure.axes) == 2
    assert figure.axes[0].lines[0].get_xdata().tolist() == [35.0, 75.0]
