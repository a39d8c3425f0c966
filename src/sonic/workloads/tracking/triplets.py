"""Which edges another one continues: as one particle's would, within what material and resolution allow.

An edge and the beam line make a circle, whose curvature is twice the sine of the change of phi over the chord. Two
edges that meet in a hit are compared by that and by their slopes along the beam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.angles import wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.simulation import Ints

_STEEPEST = 50.0
"""Slopes beyond are cut to it."""


@dataclass(frozen=True)
class Kink:
    """How much two edges that meet may differ.

    Parameters
    ----------
    sigmas : float
        In standard deviations of the hits and of the scattering between them.
    max_d0_mm : float
        Of the track: the curvatures are those of circles through the beam line.
    least : int
        Edges in a row, each going on in the next.
    """

    sigmas: float = 4.0
    max_d0_mm: float = 2.0
    least: int = 3


def continued(layer: Ints, phi: Floats, z_mm: Floats, edges: Ints, kink: Kink, barrel: Barrel) -> NDArray[np.bool_]:
    """Say of each edge whether it is in a row of edges that may be of the same track.

    Parameters
    ----------
    layer : int array [hits]
    phi, z_mm : float array [hits]
    edges : int array [2, edges]
        From the inside out, of hits that are finite.
    kink : Kink
    barrel : Barrel

    Returns
    -------
    bool array [edges]
    """
    radius = np.asarray(barrel.radii_mm)[layer]
    start, end = edges
    inner, outer = radius[start], radius[end]
    turn = wrap(phi[end] - phi[start])
    chord = np.sqrt(inner**2 + outer**2 - 2 * inner * outer * np.cos(turn))
    curvature = 2 * np.sin(turn) / chord
    slope = np.clip((z_mm[end] - z_mm[start]) / chord, -_STEEPEST, _STEEPEST)
    along = _variance(np.asarray(barrel.z_resolution_mm), layer, edges) / chord**2
    across = 4 * _variance(np.asarray(barrel.rphi_resolution_mm) / barrel.radii_mm, layer, edges) / chord**2
    met: list[tuple[Ints, Ints]] = []
    for middle in range(1, len(barrel) - 1):
        before, after = np.flatnonzero(layer[end] == middle), np.flatnonzero(layer[start] == middle)
        if not (len(before) and len(after)):
            continue
        angle = _scattering(middle, curvature[before], slope[before], barrel)
        stretch = 1 + slope[before] ** 2
        reach = kink.sigmas * np.sqrt(along[before] + along[after].max() + (angle * stretch) ** 2)
        one, other = _near(end[before], slope[before], reach, start[after], slope[after])
        first, second = before[one], after[other]
        near = np.abs(slope[second] - slope[first]) < kink.sigmas * np.sqrt(
            along[first] + along[second] + (angle * stretch)[one] ** 2
        )
        displaced = 2 * kink.max_d0_mm / radius[end[first]] * (1 / inner[first] - 1 / outer[second])
        kicked = 2 * angle[one] * np.sqrt(stretch[one]) / outer[second]
        width = displaced + kink.sigmas * np.sqrt(across[first] + across[second] + kicked**2)
        near &= np.abs(curvature[second] - curvature[first]) < width
        met.append((first[near], second[near]))
    before, after = np.zeros((2, edges.shape[1]), np.int64)
    for first, second in met:
        np.maximum.at(before, second, before[first] + 1)
    for first, second in reversed(met):
        np.maximum.at(after, first, after[second] + 1)
    row: NDArray[np.bool_] = before + 1 + after >= kink.least
    return row


def _variance(sigma: Floats, layer: Ints, edges: Ints) -> Floats:
    both: Floats = (sigma[layer[edges]] ** 2).sum(axis=0)
    return both


def _scattering(layer: int, curvature: Floats, slope: Floats, barrel: Barrel) -> Floats:
    """Return the angle that a layer scatters by, for tracks that come from the beam line."""
    sine = np.clip(0.5 * curvature * barrel.radii_mm[layer], -0.95, 0.95)
    return barrel.scattering(layer, slope, curvature / barrel.bend_gev_per_mm, np.sqrt(1 - sine**2))


def _near(at: Ints, value: Floats, reach: Floats, others: Ints, values: Floats) -> tuple[Ints, Ints]:
    """Find pairs at the same hit whose values are no further apart than `reach`; int arrays [pairs]."""
    step = 4 * _STEEPEST
    order = np.argsort(others * step + values, kind="stable")
    keys = (others * step + values)[order]
    asked = at * step + value
    by_key = np.argsort(asked)  # neighbours are looked up one after another, out of the processor's cache
    asked, reach = asked[by_key], np.minimum(reach, 0.5 * step - _STEEPEST)[by_key]
    first = np.searchsorted(keys, asked - reach)
    counts = np.searchsorted(keys, asked + reach) - first
    one = np.repeat(by_key, counts)
    place = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    return one, order[place]
