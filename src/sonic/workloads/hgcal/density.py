"""The ordinary clustering: hits follow their nearest neighbour of higher density, and the densest begin showers.

A. Rodriguez and A. Laio, Science 344 (2014) 1492; in calorimeters M. Rovere et al., CLUE (arXiv:2001.09761). Here in
three dimensions at once: across, where hits are projected to the front face, and in depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.hgcal.detector import ENDCAP

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Endcap, Ints
    from sonic.workloads.hgcal.hits import Hits


@dataclass(frozen=True)
class Density:
    """What makes a cluster.

    Parameters
    ----------
    radius_cm : float
        Within which the energy around a hit is its density; a neighbour's counts half.
    reach_cm : float
        How far the hit may be that another follows.
    seed_mip : float
        Density from which a hit that follows none begins a cluster; with less it is in none.
    layer_cm : float
        What a layer counts in depth.
    """

    radius_cm: float = 2.0
    reach_cm: float = 3.0
    seed_mip: float = 40.0
    layer_cm: float = 0.2


def search_tree() -> Any:
    """Return scipy's tree of points.

    Raises
    ------
    ConfigError
        If scipy is not installed.
    """
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        raise ConfigError("the clustering by density needs scipy: pip install 'sonic-hep[hgcal]'") from None
    return cKDTree


def clusters(hits: Hits, density: Density | None = None, endcap: Endcap = ENDCAP) -> Ints:
    """Group the hits of one event.

    Parameters
    ----------
    hits : Hits
        Usable ones.
    density : Density, optional
    endcap : Endcap

    Returns
    -------
    int array [hits]
        Number of the cluster, the densest first; -1: in none.

    Raises
    ------
    ConfigError
        If scipy is not installed.
    """
    tree = search_tree()
    density = density or Density()
    number = len(hits.layer)
    if not number:
        return np.empty(0, np.int64)
    weighted = hits.weighted(endcap)
    u, v = hits.projected(endcap)
    place = np.stack([u, v, hits.layer * density.layer_cm], axis=1)
    one, other = tree(place).query_pairs(density.reach_cm, output_type="ndarray").T
    distance = np.sqrt(((place[one] - place[other]) ** 2).sum(axis=1))
    near = distance < density.radius_cm
    around = np.bincount(one[near], weighted[other[near]], number)
    around = around + np.bincount(other[near], weighted[one[near]], number)
    total = weighted + 0.5 * around
    rank = np.empty(number, np.int64)  # of equals the earlier counts as denser
    rank[np.argsort(-total, kind="stable")] = np.arange(number)
    lower = np.where(rank[one] > rank[other], one, other)
    higher = np.where(rank[one] > rank[other], other, one)
    order = np.lexsort((rank[higher], distance, lower))
    lower, first = np.unique(lower[order], return_index=True)
    leader = np.arange(number)
    leader[lower] = higher[order][first]
    # Each follows its leader's leader, and so in a few rounds the first of all.
    while not np.array_equal(leader, leader[leader]):
        leader = leader[leader]
    seeds = np.flatnonzero((leader == np.arange(number)) & (total >= density.seed_mip))
    label = np.full(number, -1)
    label[seeds[np.argsort(rank[seeds])]] = np.arange(len(seeds))
    return label[leader]
