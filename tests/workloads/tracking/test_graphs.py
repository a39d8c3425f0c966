from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.tracking.graphs import SCALES, Windows, build, tracks, truth, union
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.simulation import Beam, events
from sonic.workloads.tracking.triplets import Kink

if TYPE_CHECKING:
    from sonic.workloads.tracking.simulation import Event

NONE = Beam(particles=0)


def _true_pairs(event: Event, skip: int) -> set[tuple[int, int]]:
    """Hits of a particle on its way, one after another, unless too many layers lie between."""
    pairs = set()
    for particle in range(event.tracks.shape[1]):
        hits = np.flatnonzero(event.particle == particle)
        hits = hits[np.argsort(event.layer[hits])]
        steps = itertools.pairwise(hits)
        pairs |= {(int(a), int(b)) for a, b in steps if event.layer[b] - event.layer[a] <= 1 + skip}
    return pairs


@pytest.mark.parametrize("skip", [0, 1])
def test_the_edges_hold_nearly_all_true_ones(skip: int) -> None:
    (event,) = events(1, Beam(particles=150), seed=41)
    purity = []
    for kink in (None, Kink()):
        graph = build(event.layer, event.phi, event.z_mm, Windows(skip=skip, kink=kink))
        edges = {(int(a), int(b)) for a, b in graph.edges.T}
        assert len(edges) == graph.edges.shape[1]
        assert len(edges & (wanted := _true_pairs(event, skip))) > 0.98 * len(wanted)
        purity.append(truth(graph.edges, event.particle).mean())
    assert 0.1 < purity[0] < 0.7 < 0.9 < purity[1]
    step = event.layer[graph.edges[1]] - event.layer[graph.edges[0]]
    assert set(step.tolist()) == set(range(1, skip + 2))


def test_windows_keep_out_what_no_particle_does() -> None:
    (event,) = events(1, Beam(particles=150), seed=42)
    wide = build(event.layer, event.phi, event.z_mm, Windows(max_d0_mm=10.0, max_z0_mm=500.0, kink=None))
    narrow = build(event.layer, event.phi, event.z_mm, Windows(kink=None))
    assert narrow.edges.shape[1] < 0.5 * wide.edges.shape[1]
    assert {tuple(pair) for pair in narrow.edges.T.tolist()} <= {tuple(pair) for pair in wide.edges.T.tolist()}


def test_features_and_the_cut_in_phi() -> None:
    graph = build(np.array([0, 1, 1]), np.array([3.14, -3.14, 0.0]), np.array([3.0, 7.0, 0.0]), Windows(kink=None))
    assert graph.edges.tolist() == [[0], [1]]
    assert graph.hits.dtype == np.float32
    assert graph.hits[0] == pytest.approx(np.array([30.0, 3.14, 3.0]) / SCALES)


def test_true_edges_make_the_particles() -> None:
    (event,) = events(1, Beam(particles=100), seed=43)
    graph = build(event.layer, event.phi, event.z_mm)
    scores = truth(graph.edges, event.particle).astype(float)
    matched = match(event, tracks(graph.edges, scores, len(event)))
    assert matched.efficiency == 1
    assert matched.fake_rate == 0
    assert matched.again.mean() < 0.05  # two layers in a row without a hit part a track


def test_candidates_are_what_good_edges_connect() -> None:
    edges = np.array([[0, 1, 3, 5, 6], [1, 2, 4, 6, 2]])
    scores = np.array([0.9, 0.8, 0.9, 0.9, 0.2])
    assert tracks(edges, scores, 8, min_hits=2).tolist() == [[0, 1, 2], [3, 4, -1], [5, 6, -1]]
    assert tracks(edges, scores, 8).tolist() == [[0, 1, 2]]
    assert tracks(edges, scores, 8, threshold=0.1).tolist() == [[0, 1, 2, 5, 6]]
    assert tracks(edges, np.full(5, np.nan), 8).shape == (0, 0)
    with pytest.raises(InvalidRequest, match=r"given 4 for edges \[2, 5\]"):
        tracks(edges, scores[:4], 8)


def test_events_of_nothing_and_of_one_hit() -> None:
    for number in (0, 1):
        layer, phi = np.zeros(number, np.int64), np.zeros(number)
        graph = build(layer, phi, phi)
        assert graph.hits.shape == (number, 3)
        assert graph.edges.shape == (2, 0)
        assert tracks(graph.edges, np.empty(0), number).shape == (0, 0)
    graph = build(np.array([0, 1]), np.array([np.nan, 0.0]), np.zeros(2))
    assert graph.edges.shape == (2, 0)
    assert graph.hits[0].tolist() == [0, 0, 0]
    far = build(np.arange(3), np.zeros(3), np.array([1e300, -1e300, 1e45]))
    assert far.edges.shape == (2, 0)
    assert far.hits.tolist() == [[0, 0, 0]] * 3
    with pytest.raises(InvalidRequest, match="layers are 0 to 9, given 3 to 12"):
        build(np.array([3, 12]), np.zeros(2), np.zeros(2))


def test_graphs_side_by_side() -> None:
    made = [build(e.layer, e.phi, e.z_mm) for e in (*events(2, Beam(particles=5), seed=45), *events(1, NONE, seed=1))]
    one, two, none = made
    both = union([one, none, two])
    assert np.array_equal(both.hits, np.concatenate([one.hits, two.hits]))
    assert np.array_equal(both.edges[:, one.edges.shape[1] :] - len(one.hits), two.edges)
    assert union([]).hits.shape == (0, 3)
    assert union([none]).edges.shape == (2, 0)
