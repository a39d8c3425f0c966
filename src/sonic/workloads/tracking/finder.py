"""Combinatorial Kalman filter: from hits to tracks.

Triplets of hits in the inner layers are seeds. All seeds of an event are followed outwards together, a layer at a time:
the hits in the window that a candidate's covariance allows each make a new candidate, the best of a seed go on, and a
layer may be without a hit. Of the tracks that share hits the better stays. Its hits are taken, and what is left is
tried with other triplets, for tracks that lack a hit in the first. All tracks are fitted in the end.

R. Mankel, "A concurrent track evolution algorithm", NIM A395 (1997) 169.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import D0, QPT, Z0, Crossing, cross, jacobian
from sonic.workloads.tracking.kalman import Fitted, fit, scatter, take, through, unknown
from sonic.workloads.tracking.layers import by_layer, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.kalman import Bools
    from sonic.workloads.tracking.layers import Layer
    from sonic.workloads.tracking.simulation import Ints


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Parameters
    ----------
    triplets : tuple of tuple of int
        Layers of the seeds; each after the one before, on the hits that are left.
    min_pt_gev, max_d0_mm, max_z0_mm : float
        Of a seed.
    triplet_z_mm : float
        How far the outer hit may lie from the line through the inner two.
    max_chi2 : float
        Of a hit that is taken, for its two coordinates.
    max_branches : int
        Candidates of one seed.
    max_holes : int
    hole_chi2 : float
        What a layer without a hit costs.
    min_hits : int
        Of a track.
    max_shared : int
        Hits that it may have in common with better ones.
    max_chi2_per_degree : float
        Of the fit.
    """

    triplets: tuple[tuple[int, int, int], ...] = ((0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 3))
    min_pt_gev: float = 0.55
    max_d0_mm: float = 4.0
    max_z0_mm: float = 200.0
    triplet_z_mm: float = 1.0
    max_chi2: float = 25.0
    max_branches: int = 3
    max_holes: int = 2
    hole_chi2: float = 12.0
    min_hits: int = 6
    max_shared: int = 1
    max_chi2_per_degree: float = 4.0


class Found(NamedTuple):
    """Tracks of an event, the best first of each round.

    Attributes
    ----------
    hits : int array [tracks, layers]
        Number of the hit on each layer; -1: none.
    fitted : Fitted
    """

    hits: Ints
    fitted: Fitted


def find(layer: Ints, phi: Floats, z_mm: Floats, search: Search | None = None, barrel: Barrel = BARREL) -> Found:
    """Find the tracks of an event, and fit them.

    Parameters
    ----------
    layer : int array [hits]
    phi, z_mm : float array [hits]
        A hit that is not finite is left out.
    search : Search, optional
    barrel : Barrel

    Raises
    ------
    InvalidRequest
        If the arrays have not the same length, or a layer is not there.
    """
    search = search or Search()
    hits = candidates(layer, phi, z_mm, search, barrel)
    fitted = fit(points(hits, phi, z_mm), barrel)
    keep = passed(fitted.good, fitted.chi2, fitted.degrees_of_freedom, search)
    return Found(hits[keep], Fitted._make(each[keep] for each in fitted))


def candidates(layer: Ints, phi: Floats, z_mm: Floats, search: Search | None = None, barrel: Barrel = BARREL) -> Ints:
    """Find the tracks of an event, before they are fitted; as :func:`find` otherwise.

    Returns
    -------
    int array [tracks, layers]
        Number of the hit on each layer; -1: none.
    """
    search = search or Search()
    check(layer, phi, z_mm, barrel)
    free = np.ones(len(layer), bool)
    rounds = []
    for triplet in search.triplets:
        taken = _round(by_layer(layer, phi, z_mm, barrel, free), len(layer), triplet, search, barrel)
        free[taken[taken >= 0]] = False
        rounds.append(taken)
    return np.concatenate(rounds)


def passed(good: Bools, chi2: Floats, degrees_of_freedom: NDArray[np.int32], search: Search | None = None) -> Bools:
    """Say which tracks are kept after the fit: those whose chi2 is what their hits can give.

    Parameters
    ----------
    good, chi2, degrees_of_freedom : array [tracks]
        As in :class:`~sonic.workloads.tracking.kalman.Fitted`.
    search : Search, optional
    """
    return good & ~(chi2 > (search or Search()).max_chi2_per_degree * degrees_of_freedom)


def points(hits: Ints, phi: Floats, z_mm: Floats) -> Floats:
    """Return phi and z of the hits of tracks; float array [tracks, layers, 2], NaN where there is none."""
    there = hits >= 0
    found = np.full((*hits.shape, 2), np.nan)
    found[there] = np.stack([phi[hits[there]], z_mm[hits[there]]], axis=1)
    return found


def seeds(layers: list[Layer], triplet: tuple[int, int, int], search: Search, barrel: Barrel) -> tuple[Floats, Ints]:
    """Find triplets of hits that a track may have.

    Returns
    -------
    tracks : float array [5, seeds]
        The helix through the three.
    places : int array [seeds, 3]
        In the layers.
    """
    first, second, third = (layers[number] for number in triplet)
    r1, r2, r3 = (barrel.radii_mm[number] for number in triplet)
    bend = barrel.bend_gev_per_mm / search.min_pt_gev
    inner = first.own
    # phi goes as omega r / 2 + d0 / r; the scale allows for what is beyond that.
    wide = 1.1 * (0.5 * bend * (r2 - r1) + search.max_d0_mm * (1 / r1 - 1 / r2))
    window, b = second.near(first.phi[inner], wide)
    a = inner[window]
    slope = (second.z_mm[b] - first.z_mm[a]) / (r2 - r1)
    keep = np.abs(first.z_mm[a] - slope * r1) < search.max_z0_mm
    a, b, slope = a[keep], b[keep], slope[keep]
    turn = (second.phi[b] - first.phi[a]) / (r2 - r1)
    kink = search.max_d0_mm * abs((1 / r3 - 1 / r2) - (1 / r2 - 1 / r1) * (r3 - r2) / (r2 - r1))
    window, c = third.near(second.phi[b] + turn * (r3 - r2), kink + 0.01)
    z_mm = second.z_mm[b] + slope * (r3 - r2)
    # What the middle layer scatters grows with the slope.
    reach = search.triplet_z_mm * (1 + slope[window] ** 2) * (r3 - r2) / (r2 - r1)
    keep = np.abs(third.z_mm[c] - z_mm[window]) < reach
    a, b, c = a[window[keep]], b[window[keep]], c[keep]
    three = [
        (np.full(len(a), radius_mm), each.phi[at], each.z_mm[at])
        for radius_mm, each, at in ((r1, first, a), (r2, second, b), (r3, third, c))
    ]
    with np.errstate(all="ignore"):
        tracks = through(three, barrel)
    keep = np.isfinite(tracks).all(axis=0) & (np.abs(tracks[QPT]) < 1 / search.min_pt_gev)
    keep &= (np.abs(tracks[D0]) < search.max_d0_mm) & (np.abs(tracks[Z0]) < search.max_z0_mm)
    return tracks[:, keep], np.stack([a, b, c], axis=1)[keep]


class _Candidates:
    """Tracks that are being followed; one number for each in every array."""

    def __init__(self, tracks: Floats, covariance: Floats, hits: Ints, chi2: Floats, seed: Ints, holes: Ints) -> None:
        self.tracks, self.covariance, self.hits = tracks, covariance, hits
        self.chi2, self.seed, self.holes = chi2, seed, holes

    def chosen(self, which: Ints) -> _Candidates:
        return _Candidates(
            self.tracks[:, which],
            self.covariance[:, :, which],
            self.hits[which],
            self.chi2[which],
            self.seed[which],
            self.holes[which],
        )


def _round(layers: list[Layer], number: int, triplet: tuple[int, int, int], search: Search, barrel: Barrel) -> Ints:
    followed = _begin(layers, triplet, search, barrel)
    if not len(followed.chi2):
        return followed.hits
    for outer in range(triplet[2] + 1, len(barrel)):
        followed = _advance(followed, layers[outer], outer, search, barrel)
    return _without_overlap(followed, number, search)


def _begin(layers: list[Layer], triplet: tuple[int, int, int], search: Search, barrel: Barrel) -> _Candidates:
    about, places = seeds(layers, triplet, search, barrel)
    number = about.shape[1]
    shift, covariance, chi2 = np.zeros((5, number)), unknown(number), np.zeros(number)
    hits = np.full((number, len(barrel)), -1)
    every = np.ones(number, bool)
    for place, at_layer in zip(places.T, triplet, strict=True):
        layer = layers[at_layer]
        hits[:, at_layer] = layer.hit[place]
        at = cross(about, barrel.radii_mm[at_layer], barrel)
        of_phi, of_z = jacobian(about, at, barrel.radii_mm[at_layer], barrel)
        sigma = barrel.rphi_resolution_mm[at_layer] / barrel.radii_mm[at_layer]
        shift, covariance, one = take(shift, covariance, of_phi, wrap(layer.phi[place] - at.phi), sigma, every)
        sigma = barrel.z_resolution_mm[at_layer]
        shift, covariance, two = take(shift, covariance, of_z, layer.z_mm[place] - at.z_mm, sigma, every)
        covariance = scatter(covariance, about, at, at_layer, barrel, every)
        chi2 = chi2 + one + two
    begun = _Candidates(about + shift, covariance, hits, chi2, np.arange(number), np.zeros(number, np.int64))
    return begun.chosen(np.flatnonzero(chi2 < search.max_chi2))


def _advance(followed: _Candidates, layer: Layer, number: int, search: Search, barrel: Barrel) -> _Candidates:
    radius_mm = barrel.radii_mm[number]
    tracks = followed.tracks
    at = cross(tracks, radius_mm, barrel)
    rows = jacobian(tracks, at, radius_mm, barrel)
    sigmas = barrel.rphi_resolution_mm[number] / radius_mm, barrel.z_resolution_mm[number]
    (v_pp, v_pz), (_, v_zz) = _projected(followed.covariance, rows)
    v_pp, v_zz = v_pp + sigmas[0] ** 2, v_zz + sigmas[1] ** 2
    owner, place = layer.near(at.phi, np.sqrt(search.max_chi2 * v_pp))
    miss_z = layer.z_mm[place] - at.z_mm[owner]
    near = (miss_z**2 < search.max_chi2 * v_zz[owner]) & at.reached[owner]
    owner, place, miss_z = owner[near], place[near], miss_z[near]
    miss_p = wrap(layer.phi[place] - at.phi[owner])
    pp, pz, zz = v_pp[owner], v_pz[owner], v_zz[owner]
    chi2 = (zz * miss_p**2 - 2 * pz * miss_p * miss_z + pp * miss_z**2) / (pp * zz - pz**2)
    near = chi2 < search.max_chi2
    owner, place, chi2 = owner[near], place[near], chi2[near]

    # Those that go on: with each of the hits, and without any, which costs nothing where the layer is out of reach.
    inside = at.reached & (np.abs(at.z_mm) < barrel.half_length_mm)
    without = np.flatnonzero(~inside | (followed.holes < search.max_holes))
    parent = np.concatenate([owner, without])
    hit = np.concatenate([layer.hit[place], np.full(len(without), -1)])
    place = np.concatenate([place, np.zeros(len(without), np.int64)])
    holes = np.concatenate([np.zeros(len(owner), np.int64), inside[without].astype(np.int64)])
    total = followed.chi2[parent] + np.concatenate([chi2, search.hole_chi2 * inside[without]])
    best = _best(followed.seed[parent], total, search.max_branches)
    parent, hit, place, holes, total = parent[best], hit[best], place[best], holes[best], total[best]

    on = followed.chosen(parent)
    seen = hit >= 0
    here = Crossing(*(each[parent] for each in at))
    state = np.zeros_like(on.tracks)
    covariance = on.covariance
    phi, z_mm = (each[place] if len(each) else np.zeros(len(parent)) for each in (layer.phi, layer.z_mm))
    misses = wrap(phi - here.phi), z_mm - here.z_mm
    for row, miss, sigma in zip(rows, misses, sigmas, strict=True):
        state, covariance, _ = take(state, covariance, row[:, parent], miss, sigma, seen)
    covariance = scatter(covariance, on.tracks, here, number, barrel, here.reached)
    hits = on.hits.copy()
    hits[:, number] = hit
    return _Candidates(on.tracks + state, covariance, hits, total, on.seed, on.holes + holes)


def _projected(covariance: Floats, rows: tuple[Floats, Floats]) -> list[list[Floats]]:
    spreads = [sum(covariance[:, i] * row[i] for i in range(len(row))) for row in rows]
    return [[(row * spread).sum(axis=0) for spread in spreads] for row in rows]


def _best(group: Ints, cost: Floats, most: int) -> Ints:
    """Return the `most` of each group that cost least."""
    order = np.lexsort((cost, group))
    sorted_group = group[order]
    start = np.searchsorted(sorted_group, sorted_group)
    return order[np.arange(len(order)) - start < most]


def _without_overlap(followed: _Candidates, number: int, search: Search) -> Ints:
    counts = (followed.hits >= 0).sum(axis=1)
    long = np.flatnonzero(counts >= search.min_hits)
    order = long[np.lexsort((followed.chi2[long], -counts[long]))]
    used = np.zeros(number + 1, bool)  # the last: no hit
    kept = []
    for candidate in order:
        hits = followed.hits[candidate]
        if used[hits].sum() <= search.max_shared:
            kept.append(candidate)
            used[hits] = True
            used[-1] = False
    return followed.hits[kept] if kept else followed.hits[:0]
