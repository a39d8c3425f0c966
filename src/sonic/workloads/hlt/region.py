"""Tracking where it is wanted: hits around the leading jets, tracks through them, and the vertex of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sonic.framework import Producer
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import Search, candidates

if TYPE_CHECKING:
    from sonic.framework.module import Columns
    from sonic.workloads.tracking.detector import Barrel

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RADIUS = 0.4
"""Of a region, in eta and phi at the beam line."""
SEARCH = Search(min_pt_gev=1.0)
_BEAM_MM = 150.0
"""Collisions are within so much along the beam."""
_WINDOW_MM = 0.5
"""Of the tracks of one vertex, on either side."""


class RegionalFinder(Producer):
    """Hits of tracks near the jets that are to be tagged, by the combinatorial Kalman filter."""

    name = "finder"
    consumes = ("Hit_layer", "Hit_phi", "Hit_z", "Jet_eta", "Jet_phi", "Jet_taggable")
    produces = ("Track_hits", "Event_nRegionHits")

    def produce(self, events: ak.Array) -> Columns:
        """Find the tracks of each event; numbers of their hits in it, a place a layer, -1 where there is none."""
        found, looked = [np.empty((0, len(BARREL)), np.int64)], []
        for event in events:
            layer, phi, z_mm = (np.asarray(event[f"Hit_{name}"]) for name in ("layer", "phi", "z"))
            wanted = np.asarray(event.Jet_taggable, bool)
            eta, at = (np.asarray(event[f"Jet_{name}"], np.float64)[wanted] for name in ("eta", "phi"))
            near = np.flatnonzero(in_region(layer, phi, z_mm, eta, at))
            tracks = candidates(layer[near], phi[near], z_mm[near], SEARCH)
            found.append(np.where(tracks >= 0, near[tracks], -1) if len(near) else found[0])
            looked.append(len(near))
        counts = np.array([len(tracks) for tracks in found[1:]], np.int64)
        return {
            "Track_hits": ak.unflatten(ak.from_regular(ak.Array(np.concatenate(found))), counts),
            "Event_nRegionHits": np.array(looked, np.int32),
        }


def in_region(
    layer: Ints, phi: Floats, z_mm: Floats, jet_eta: Floats, jet_phi: Floats, barrel: Barrel = BARREL
) -> Bools:
    """Choose the hits that a track of at least 1 GeV may have whose direction is within 0.4 of a jet's.

    Parameters
    ----------
    layer : int array [hits]
    phi, z_mm : float array [hits]
        A hit that is not finite is in no region.
    jet_eta, jet_phi : float array [jets]
    barrel : Barrel

    Returns
    -------
    bool array [hits]
    """
    radius_mm = np.asarray(barrel.radii_mm)[layer]
    bend = np.arcsin(np.minimum(0.5 * barrel.bend_gev_per_mm / SEARCH.min_pt_gev * radius_mm, 1.0))
    near = np.zeros(len(layer), bool)
    for eta, at in zip(jet_eta, jet_phi, strict=True):
        low, high = radius_mm * np.sinh(eta - RADIUS) - _BEAM_MM, radius_mm * np.sinh(eta + RADIUS) + _BEAM_MM
        near |= (np.abs(wrap(phi - at)) < RADIUS + bend) & (z_mm > low) & (z_mm < high)
    return near


def vertex_mm(z0_mm: Floats, pt_gev: Floats) -> float:
    """Return where along the beam the tracks of the largest sum of squared momenta within 1 mm come from.

    Parameters
    ----------
    z0_mm, pt_gev : float array [tracks]

    Returns
    -------
    float
        The mean of their z0, by the same weight; 0 without any track.
    """
    if not len(z0_mm):
        return 0.0
    order = np.argsort(z0_mm, kind="stable")
    z, weight = z0_mm[order], pt_gev[order] ** 2
    total = np.concatenate([[0.0], np.cumsum(weight)])
    first, last = np.searchsorted(z, z - _WINDOW_MM), np.searchsorted(z, z + _WINDOW_MM, side="right")
    best = int(np.argmax(total[last] - total[first]))
    inside = slice(first[best], last[best])
    return float(np.average(z[inside], weights=weight[inside]))
