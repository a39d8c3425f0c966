from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from typing import TYPE_CHECKING

from sonic.workloads import resolution as measured
from sonic.workloads.ecal.geometry import ENERGIES_GEV, LAYERS
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.plots import resolution, shower

if TYPE_CHECKING:
    from sonic.workloads.ecal.simulation import Electrons


def test_a_shower_has_a_panel_a_layer_with_the_energy_in_it(made: Electrons):
    image = draw(made)[0]
    figure = shower(image, "an electron")
    titles = [axes.get_title() for axes in figure.axes[: len(LAYERS)]]
    assert titles == [f"{layer.name}: {image[..., i].sum():.2f} GeV" for i, layer in enumerate(LAYERS)]
    shower(np.zeros_like(image)).draw_without_rendering()


def test_resolution_has_a_curve_a_way():
    random = np.random.default_rng(1)
    true = random.uniform(5, 300, 2000)
    curves = {
        name: measured.resolution(true, true * random.normal(1, spread, 2000), ENERGIES_GEV)
        for name, spread in (("one", 0.1), ("other", 0.02))
    }
    figure = resolution(curves)
    bias, width = figure.axes
    assert [text.get_text() for text in width.get_legend().get_texts()] == ["one", "other"]
    drawn = [container.lines[0].get_ydata() for container in width.containers]
    assert np.nanmean(drawn[0]) == pytest.approx(10, rel=0.1)
    assert len(bias.containers) == 2
