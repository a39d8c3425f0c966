"""Charged particles: an event, the pulls of the fit, and the graph network beside the combinatorial finder."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

import sonic
from sonic.workloads import MODELS
from sonic.workloads.angles import wrap
from sonic.workloads.tracking import plots
from sonic.workloads.tracking.comparison import compare
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.graphs import Windows, build
from sonic.workloads.tracking.helix import PHI
from sonic.workloads.tracking.kalman import fit
from sonic.workloads.tracking.matching import by_pt
from sonic.workloads.tracking.paths import THRESHOLD
from sonic.workloads.tracking.simulation import Beam, events, particles, pass_through

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from sonic.workloads.tracking.graphs import Graph

_EDGES_GEV = np.array([0.7, 0.8, 1.0, 1.3, 1.8, 2.5, 4.0, 7.0, 15.0, 50.0])
SIZES = (10, 30, 100, 300, 1_000, 2_000)
"""Particles of events: 100 to 20,000 hits."""


def event() -> Figure:
    """Hits and the tracks found, across and along the beam."""
    (made,) = events(1, Beam(particles=60), seed=51)
    found = find(made.layer, made.phi, made.z_mm)
    return plots.event_display(made, found.hits, found.fitted.parameters)


def pulls() -> Figure:
    """Draw the pulls of the five parameters of 10,000 tracks."""
    random = np.random.default_rng(11)
    truth = particles(Beam(), 10_000, random)
    fitted = fit(pass_through(truth, Beam(), random))
    difference = fitted.parameters - truth.T
    difference[:, PHI] = wrap(difference[:, PHI])
    return plots.pulls((difference / np.sqrt(np.diagonal(fitted.covariance, axis1=1, axis2=2)))[fitted.good])


@cache
def _network() -> sonic.Model:
    return sonic.Model(f"local:{MODELS}/trackgnn")


def _scores(graph: Graph) -> np.ndarray:
    return _network()(**graph._asdict())["scores"]


def efficiency() -> Figure:
    """Efficiency by transverse momentum, of both, in small and in large events."""
    curves = {}
    for particles_, number in ((100, 60), (1_000, 6)):
        (row,) = compare(_scores, (particles_,), events=number, seed=7)
        size = f"{round(row.hits, -3):,.0f} hits"
        curves[f"combinatorial finder, {size}"] = by_pt(row.finder, _EDGES_GEV)
        curves[f"graph network, {size}"] = by_pt(row.network, _EDGES_GEV)
    return plots.efficiency(_EDGES_GEV, curves)


def times() -> Figure:
    """Time, efficiency and fakes of both as the hits grow."""
    return plots.comparison(compare(_scores, SIZES, seed=8))


def edges() -> Figure:
    """Edges of a wedge of a crowded event: by the windows, those that go on in others, and what the network leaves."""
    (made,) = events(1, Beam(particles=2_000), seed=52)
    hits = made.layer, made.phi, made.z_mm
    graph = build(*hits)
    stages = {
        "by the windows": build(*hits, Windows(kink=None)).edges,
        "that go on": graph.edges,
        "score above 0.5": graph.edges[:, _scores(graph) > THRESHOLD],
    }
    return plots.edges(made, stages, half_width=0.1)


PICTURES: dict[str, Callable[[], Figure]] = {
    "tracking-event": event,
    "tracking-pulls": pulls,
    "tracking-efficiency": efficiency,
    "tracking-edges": edges,
    "tracking-times": times,
}
