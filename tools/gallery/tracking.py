"""Charged particles: an event, the pulls of the fit, and the finder's efficiency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.tracking import plots
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.helix import PHI, wrap
from sonic.workloads.tracking.kalman import fit
from sonic.workloads.tracking.matching import by_pt, match
from sonic.workloads.tracking.simulation import Beam, events, particles, pass_through

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_EDGES_GEV = np.array([0.7, 0.8, 1.0, 1.3, 1.8, 2.5, 4.0, 7.0, 15.0, 50.0])


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


def efficiency() -> Figure:
    """Efficiency by transverse momentum, in small and in large events."""
    curves = {}
    for hits, number in ((1_000, 60), (8_000, 6)):
        made = events(number, Beam(particles=hits // 10), seed=7)
        rows = [match(each, find(each.layer, each.phi, each.z_mm).hits) for each in made]
        curves[f"{hits:,} hits"] = by_pt(rows, _EDGES_GEV)
    return plots.efficiency(_EDGES_GEV, curves)


PICTURES: dict[str, Callable[[], Figure]] = {
    "tracking-event": event,
    "tracking-pulls": pulls,
    "tracking-efficiency": efficiency,
}
