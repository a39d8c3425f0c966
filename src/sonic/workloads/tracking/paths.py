"""Scored edges to tracks with a hit a layer at most: of the ways through a graph the best, again and again.

Connected components (:mod:`~sonic.workloads.tracking.graphs`) merge tracks that one bad edge joins. Here each edge
weighs its log-odds above those of the cut, every hit has the heaviest way that ends in it, and of the ways that share
hits the heavier is taken. Its hits are out; what is left is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from sonic.workloads.tracking.detector import Floats
    from sonic.workloads.tracking.simulation import Ints

THRESHOLD = 0.5
_SUREST = 1e-6
"""Scores closer to 0 or 1 count as this close: beyond, their float32 says nothing."""


def paths(
    layer: Ints, edges: Ints, scores: Floats, layers: int, *, threshold: float = THRESHOLD, min_hits: int = 6
) -> Ints:
    """Make tracks of scored edges.

    Parameters
    ----------
    layer : int array [hits]
    edges : int array [2, edges]
        From the inside out.
    scores : float array [edges]
        Probability that both hits are from one particle. One that is not a number counts as bad.
    layers : int
        Of the detector.
    threshold : float
        Least score of an edge that is looked at.
    min_hits : int
        Of a track.

    Returns
    -------
    int array [tracks, layers]
        Number of the hit on each layer, -1: none; the heaviest of each round first.

    Raises
    ------
    InvalidRequest
        If there is not one score for each edge.
    """
    if edges.shape != (2, len(scores)):
        raise InvalidRequest(f"expected a score for each edge, given {len(scores)} for edges {list(edges.shape)}")
    good = scores > threshold
    edges, weight = edges[:, good], _log_odds(scores[good]) - _log_odds(np.array(threshold))
    found = [np.empty((0, layers), np.int64)]
    while edges.shape[1]:
        ways, total = _heaviest(layer, edges, weight, layers)
        chosen = ways[_first_claims(ways, total, len(layer))]
        found.append(chosen[(chosen >= 0).sum(axis=1) >= min_hits])
        used = np.zeros(len(layer), bool)
        used[chosen[chosen >= 0]] = True
        left = ~used[edges].any(axis=0)
        edges, weight = edges[:, left], weight[left]
    return np.concatenate(found)


def _log_odds(scores: Floats) -> Floats:
    bounded = np.clip(np.asarray(scores, np.float64), _SUREST, 1 - _SUREST)
    odds: Floats = np.log(bounded / (1 - bounded))
    return odds


def _heaviest(layer: Ints, edges: Ints, weight: Floats, layers: int) -> tuple[Ints, Floats]:
    """Follow the heaviest way to each hit that no other's goes on from.

    Returns
    -------
    ways : int array [ways, layers]
    total : float array [ways]
    """
    start, end = edges
    total = np.zeros(len(layer))
    before = np.full(len(layer), -1)
    outer = layer[end]
    for number in range(1, layers):
        at = np.flatnonzero(outer == number)
        sums = total[start[at]] + weight[at]
        order = np.lexsort((start[at], -sums, end[at]))
        at, sums = at[order], sums[order]
        first = np.ones(len(at), bool)
        first[1:] = end[at[1:]] != end[at[:-1]]
        total[end[at[first]]], before[end[at[first]]] = sums[first], start[at[first]]
    goes_on = np.zeros(len(layer), bool)
    goes_on[before[before >= 0]] = True
    here = np.flatnonzero((before >= 0) & ~goes_on)
    ways = np.full((len(here), layers), -1)
    sums = total[here]
    rows = np.arange(len(here))
    while len(here):
        ways[rows, layer[here]] = here
        more = before[here] >= 0
        rows, here = rows[more], before[here[more]]
    return ways, sums


def _first_claims(ways: Ints, total: Floats, hits: int) -> Ints:
    """Return those that are the heaviest at each of their hits, the heaviest first; of equals, the earlier."""
    order = np.argsort(-total, kind="stable")
    ranked = ways[order]
    row, column = np.nonzero(ranked >= 0)
    best = np.full(hits, len(ways))
    np.minimum.at(best, ranked[row, column], row)
    lost = np.zeros(len(ways), bool)
    lost[row[best[ranked[row, column]] != row]] = True
    return order[~lost]
