"""Events as graphs: hits that a particle may have left one after another are joined; scored edges make tracks.

This is what stands before and behind a graph network: :func:`build` gives what it takes, :func:`truth` what it is to
learn, :func:`tracks` makes candidates of what it says; :mod:`~sonic.workloads.tracking.paths` makes better ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.layers import by_layer, check
from sonic.workloads.tracking.triplets import Kink, continued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.layers import Layer
    from sonic.workloads.tracking.simulation import Ints

SCALES = (1000.0, np.pi, 1000.0)
"""What r in mm, phi and z in mm are divided by."""


@dataclass(frozen=True)
class Windows:
    """Which hits are joined.

    Parameters
    ----------
    min_pt_gev, max_d0_mm : float
        Of a track that bends so much, or passes the beam line so far away, from hit to hit.
    max_z0_mm : float
        Where the helix through both and the beam line may pass that.
    skip : int
        Layers that an edge may leave out.
    kink : Kink, optional
        How much an edge may differ from another that it meets in a hit. Those without such another are left out; None:
        they stay.
    """

    min_pt_gev: float = 0.65
    max_d0_mm: float = 3.0
    max_z0_mm: float = 150.0
    skip: int = 1
    kink: Kink | None = Kink()  # noqa: RUF009 - frozen


class Graph(NamedTuple):
    """An event.

    Attributes
    ----------
    hits : float32 array [hits, 3]
        r, phi and z, divided by :data:`SCALES`.
    edges : int64 array [2, edges]
        Numbers of hits, from the inside out, in the order of the first.
    """

    hits: NDArray[np.float32]
    edges: Ints


def build(layer: Ints, phi: Floats, z_mm: Floats, windows: Windows | None = None, barrel: Barrel = BARREL) -> Graph:
    """Join the hits of an event.

    Parameters
    ----------
    layer : int array [hits]
    phi, z_mm : float array [hits]
        A hit that is not finite has no edges, and zeros as features.
    windows : Windows, optional
    barrel : Barrel

    Raises
    ------
    InvalidRequest
        If the arrays have not the same length, or a layer is not there.
    """
    check(layer, phi, z_mm, barrel)
    windows = windows or Windows()
    layers = by_layer(layer, phi, z_mm, barrel)
    found = [
        _join(layers[inner], layers[outer], barrel.radii_mm[inner], barrel.radii_mm[outer], windows, barrel)
        for inner in range(len(barrel))
        for outer in range(inner + 1, min(inner + 2 + windows.skip, len(barrel)))
    ]
    edges = np.concatenate([np.empty((2, 0), np.int64), *found], axis=1)
    if windows.kink is not None:
        edges = edges[:, continued(layer, phi, z_mm, edges, windows.kink, barrel)]
    edges = edges[:, np.lexsort((edges[1], edges[0]))]
    radii = np.asarray(barrel.radii_mm)[layer] if len(layer) else np.empty(0)
    with np.errstate(over="ignore"):
        features = (np.stack([radii, phi, z_mm], axis=1) / SCALES).astype(np.float32)
    features[~np.isfinite(features).all(axis=1)] = 0
    return Graph(features, edges)


def union(graphs: Sequence[Graph]) -> Graph:
    """Put events side by side in one graph; no edge joins two of them."""
    first = np.cumsum([0, *(len(graph.hits) for graph in graphs)])
    return Graph(
        np.concatenate([np.empty((0, len(SCALES)), np.float32), *(graph.hits for graph in graphs)]),
        np.concatenate(
            [np.empty((2, 0), np.int64), *(graph.edges + at for graph, at in zip(graphs, first[:-1], strict=True))],
            axis=1,
        ),
    )


def truth(edges: Ints, particle: Ints) -> NDArray[np.bool_]:
    """Say of each edge whether both its hits are from one particle; bool array [edges]."""
    start, end = particle[edges[0]], particle[edges[1]]
    same: NDArray[np.bool_] = (start == end) & (start >= 0)
    return same


def tracks(edges: Ints, scores: Floats, hits: int, *, threshold: float = 0.5, min_hits: int = 3) -> Ints:
    """Make candidates of scored edges: hits that are connected by good ones.

    Parameters
    ----------
    edges : int array [2, edges]
    scores : float array [edges]
        One that is not a number counts as bad.
    hits : int
        Of the event.
    threshold : float
        Of a good edge.
    min_hits : int
        Of a candidate.

    Returns
    -------
    int array [candidates, most hits of one]
        Numbers of the hits, ascending; -1 behind the last.

    Raises
    ------
    InvalidRequest
        If there is not one score for each edge.
    """
    if edges.shape != (2, len(scores)):
        raise InvalidRequest(f"expected a score for each edge, given {len(scores)} for edges {list(edges.shape)}")
    label = components(edges[:, scores > threshold], hits)
    order = np.argsort(label, kind="stable")
    counts = np.bincount(label, minlength=1)
    rank = np.arange(hits) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.flatnonzero(counts >= min_hits)
    row = np.full(len(counts), -1)
    row[kept] = np.arange(len(kept))
    candidates = np.full((len(kept), int(counts[kept].max(initial=0))), -1)
    inside = row[label[order]] >= 0
    candidates[row[label[order]][inside], rank[inside]] = order[inside]
    return candidates


def components(edges: Ints, hits: int) -> Ints:
    """Say of each hit which connected part of the graph it is in; int array [hits].

    Raises
    ------
    ConfigError
        If scipy is not installed.
    """
    try:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
    except ImportError:
        raise ConfigError("tracks of a graph need scipy: pip install 'sonic-hep[tracking]'") from None
    if not hits:
        return np.empty(0, np.int64)
    ones = np.ones(edges.shape[1], np.int8)
    _, label = connected_components(coo_array((ones, (edges[0], edges[1])), shape=(hits, hits)), directed=False)
    return np.asarray(label, np.int64)


def _join(inner: Layer, outer: Layer, r1: float, r2: float, windows: Windows, barrel: Barrel) -> Ints:
    own = inner.own
    bent = [np.arcsin(min(0.5 * barrel.bend_gev_per_mm * r / windows.min_pt_gev, 1.0)) for r in (r1, r2)]
    window, place = outer.near(inner.phi[own], bent[1] - bent[0] + windows.max_d0_mm * (1 / r1 - 1 / r2))
    start = own[window]
    turn = np.abs(outer.phi[place] - inner.phi[start])
    s1, s2 = _paths(np.minimum(turn, 2 * np.pi - turn), r1, r2, barrel.bend_gev_per_mm / windows.min_pt_gev)
    z0 = inner.z_mm[start] - s1 * (outer.z_mm[place] - inner.z_mm[start]) / (s2 - s1)
    keep = np.abs(z0) < windows.max_z0_mm
    return np.stack([inner.hit[start[keep]], outer.hit[place[keep]]])


def _paths(turn: Floats, r1: float, r2: float, most: float) -> tuple[Floats, Floats]:
    """Transverse paths from the beam line to two radii, of tracks whose phi changes by `turn` in between."""
    half = np.minimum(turn / (r2 - r1), 0.5 * most)  # of the curvature
    for _ in range(2):  # Newton's method, for the circle that passes the beam line
        x1, x2 = np.minimum(half * r1, 0.95), np.minimum(half * r2, 0.95)
        miss = np.arcsin(x2) - np.arcsin(x1) - turn
        half = np.clip(half - miss / (r2 / np.sqrt(1 - x2**2) - r1 / np.sqrt(1 - x1**2)), 1e-9, 0.5 * most)
    return np.arcsin(np.minimum(half * r1, 0.95)) / half, np.arcsin(np.minimum(half * r2, 0.95)) / half
