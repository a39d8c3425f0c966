from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.tracking.comparison import compare, rates
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.graphs import build
from sonic.workloads.tracking.plots import comparison, edges, efficiency, event_display, pulls
from sonic.workloads.tracking.simulation import Beam, events

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def _drawn(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=40)  # matplotlib complains about what it cannot draw when it draws


def test_an_event_is_drawn_with_its_tracks(tmp_path: Path) -> None:
    (event,) = events(1, Beam(particles=12), seed=61)
    found = find(event.layer, event.phi, event.z_mm)
    parameters = found.fitted.parameters.copy()
    parameters[0] = np.nan
    figure = event_display(event, found.hits, parameters)
    across, along = figure.axes
    assert len(across.lines) - 10 == len(along.lines) - 10 == len(found.hits) - 1  # 10 layers
    points = sum(len(each.get_offsets()) for each in across.collections)
    assert points == len(event)
    longest = max(np.hypot(*line.get_data()).max() for line in across.lines[10:])
    assert longest <= 1000.001
    _drawn(figure, tmp_path / "event.png")


def test_an_empty_event_is_drawn(tmp_path: Path) -> None:
    (event,) = events(1, Beam(particles=0), seed=62)
    _drawn(event_display(event, np.empty((0, 10), np.int64), np.empty((0, 5))), tmp_path / "empty.png")


def test_pulls_say_their_widths(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 2, (1000, 5))
    values[0, 0] = np.nan
    figure = pulls(values)
    for axes, column in zip(figure.axes[:5], values.T, strict=True):
        width, mean, beyond = axes.texts[0].get_text().splitlines()
        assert re.fullmatch(r"width (2\.0|1\.9)\d+ \+- 0\.0\d+", width)
        assert re.fullmatch(r"mean [+-]0\.\d+ \+- 0\.06\d", mean)
        seen = column[np.isfinite(column)]
        assert beyond == f"{(np.abs(seen) > 5).sum()} of {len(seen):,} beyond 5"
    _drawn(figure, tmp_path / "pulls.png")


def test_efficiency(tmp_path: Path) -> None:
    bins = np.array([0.7, 1.0, 5.0, 50.0])
    figure = efficiency(bins, {"CKF": (np.array([0.9, np.nan, 1.0]), np.array([0.01, np.nan, 0.0]))})
    assert figure.axes[0].get_ylim()[0] < 0.89
    _drawn(figure, tmp_path / "efficiency.png")


def test_the_network_beside_the_finder(tmp_path: Path) -> None:
    rows = compare(lambda graph: np.ones(graph.edges.shape[1]), (0, 5, 20), events=1)
    figure = comparison(rows)
    time, efficient, fake = figure.axes
    finder, network, *parts = (line.get_ydata() for line in time.lines)
    assert finder[2] == 1e3 * rows[2].seconds["combinatorial finder"]
    assert np.allclose(network, np.sum(parts, axis=0))
    for axes, of in ((efficient, 0), (fake, 1)):
        found, ours = (line.get_ydata()[2] for line in axes.lines[:2])
        assert (found, ours) == (rates(rows[2].finder)[of], rates(rows[2].network)[of])
        bars = axes.containers[0].lines[2][0].get_segments()[2]
        error = rates(rows[2].finder)[of]
        assert bars[:, 1] == pytest.approx([found - error.down, found + error.up])
    _drawn(figure, tmp_path / "comparison.png")


def test_edges_of_a_wedge_stage_by_stage(tmp_path: Path) -> None:
    (event,) = events(1, Beam(particles=60), seed=63)
    joined = build(event.layer, event.phi, event.z_mm).edges
    figure = edges(event, {"all": joined, "few": joined[:, ::9], "none": joined[:, :0]}, half_width=1.0)
    near = (np.abs(event.phi[joined]) < 1).all(axis=0)
    for axes, number in zip(figure.axes, (near.sum(), near[::9].sum(), 0), strict=True):
        assert sum(len(line.get_xdata()) for line in axes.lines) == 3 * number
        assert f": {number}, " in axes.get_title()
    _drawn(figure, tmp_path / "edges.png")
