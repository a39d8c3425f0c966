from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.patches import Rectangle

from sonic.framework import Measured
from sonic.workloads.hcal.effects import Effects
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.plots import jets_and_missing_energy, pulse_fits, resolutions
from sonic.workloads.resolution import resolution

if TYPE_CHECKING:
    from sonic.workloads.hcal.simulation import Conditions, Event


def test_bias_and_resolution_have_a_row_for_each_kind_of_collisions() -> None:
    true = np.geomspace(0.6, 50, 500)
    one, other = resolution(true, 1.1 * true), resolution(true, 0.9 * true)
    figure = resolutions({"quiet": {"fit": one, "sum": other}, "busy": {"fit": other, "sum": one}})
    assert [axes.get_title() for axes in figure.axes] == ["quiet", "quiet", "busy", "busy"]
    lines = figure.axes[2].lines
    assert np.asarray(lines[0].get_ydata()) == pytest.approx(-10)
    assert np.asarray(lines[1].get_ydata()) == pytest.approx(10)
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["fit", "sum"]


def test_effects_are_drawn_by_momentum_and_by_pile_up() -> None:
    true = np.geomspace(20.0, 300.0, 100)

    def effect(scale: float, extra: float) -> Effects:
        jets = resolution(true, scale * true, (20.0, 80.0, 400.0))
        return Effects(jets, np.ones(2), extra, Measured(5 * extra, 0.1), Measured(0.0, 1.0), 20)

    found = {50.0: {"fit": effect(1, 1), "sum": effect(1.1, 2)}, 0.0: {"fit": effect(1, 0), "sum": effect(1, 0.5)}}
    figure = jets_and_missing_energy(found)
    bias, _, extra, missing = figure.axes
    assert "50 collisions" in bias.get_title()
    assert np.asarray(bias.lines[1].get_ydata()) == pytest.approx(10)
    assert [np.asarray(line.get_ydata()).tolist() for line in extra.lines] == [[0, 1], [0.5, 2]]
    assert np.asarray(missing.lines[1].get_xdata()).tolist() == [0, 50]
    figure.canvas.draw()


def test_a_fit_is_drawn_as_its_pulses(hcal_event: Event, hcal_known: Conditions) -> None:
    best = np.argsort(hcal_event.energy_gev)[-4:]
    charge, known = hcal_event.charge_fc[best], hcal_known[best]
    charge[3, 0] = np.nan
    fitted = MAHI.fit(charge, known)
    figure = pulse_fits(charge, known, fitted, hcal_event.energy_gev[best])
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == 4
    assert (
        f"{fitted.energy_gev[0]:.2f} GeV found, {hcal_event.energy_gev[best][0]:.2f} GeV true" in drawn[0].get_title()
    )
    heights = np.array([patch.get_height() for patch in drawn[0].patches if isinstance(patch, Rectangle)])
    mean, _ = MAHI.templates()
    assert heights.sum() == pytest.approx((mean @ fitted.amplitudes_fc[0]).sum() / 1e3)
    assert not drawn[3].patches  # of what could not be fitted
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "in time"
    figure.canvas.draw()
