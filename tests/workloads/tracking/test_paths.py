from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.tracking.graphs import build, tracks, truth
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.paths import paths
from sonic.workloads.tracking.simulation import Beam, events

LAYER = np.array([0, 1, 2, 3, 0, 1, 2, 3])
TWO = np.array([[0, 1, 2, 4, 5, 6], [1, 2, 3, 5, 6, 7]])
"""Two tracks of four hits."""


def test_a_bad_edge_between_two_tracks_does_not_merge_them() -> None:
    edges = np.concatenate([TWO, [[1], [6]]], axis=1)
    scores = np.array([0.99] * 6 + [0.8])
    assert paths(LAYER, edges, scores, 4, min_hits=3).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(tracks(edges, scores, 8)) == 1  # connected components do


def test_a_way_takes_in_every_layer_rather_than_leave_one_out() -> None:
    edges = np.array([[0, 0, 1, 2], [1, 2, 2, 3]])
    assert paths(LAYER, edges, np.array([0.95, 0.99, 0.95, 0.99]), 4, min_hits=3).tolist() == [[0, 1, 2, 3]]
    assert paths(LAYER, edges, np.array([0.4, 0.99, 0.95, 0.99]), 4, min_hits=3).tolist() == [[0, -1, 2, 3]]


def test_of_ways_that_share_a_hit_the_lighter_goes_on_without_it() -> None:
    edges = np.array([[0, 1, 2, 4, 5], [1, 2, 3, 5, 2]])
    scores = np.array([0.9, 0.9, 0.9, 0.99, 0.6])
    found = paths(LAYER, edges, scores, 4, min_hits=2).tolist()
    assert found == [[4, 5, 2, 3], [0, 1, -1, -1]]
    assert paths(LAYER, edges, scores, 4, min_hits=3).tolist() == [[4, 5, 2, 3]]


def test_true_edges_make_the_particles() -> None:
    (event,) = events(1, Beam(particles=100), seed=43)
    graph = build(event.layer, event.phi, event.z_mm)
    scores = truth(graph.edges, event.particle).astype(np.float32)
    found = paths(event.layer, graph.edges, scores, 10)
    matched = match(event, found)
    assert matched.efficiency >= 0.99  # two layers in a row without a hit part a track
    assert matched.fake_rate == 0
    used = found[found >= 0]
    assert len(set(used.tolist())) == len(used)
    rows, columns = np.nonzero(found >= 0)
    assert (event.layer[found[rows, columns]] == columns).all()


def test_the_order_of_edges_does_not_matter() -> None:
    (event,) = events(1, Beam(particles=60), seed=44)
    graph = build(event.layer, event.phi, event.z_mm)
    random = np.random.default_rng(1)
    scores = random.uniform(size=graph.edges.shape[1]).astype(np.float32)
    order = random.permutation(len(scores))
    one = paths(event.layer, graph.edges, scores, 10, min_hits=3)
    assert len(one) > 20
    assert np.array_equal(one, paths(event.layer, graph.edges[:, order], scores[order], 10, min_hits=3))


def test_nothing_to_go_by() -> None:
    assert paths(LAYER, TWO, np.full(6, np.nan), 4).shape == (0, 4)
    assert paths(LAYER, TWO, np.full(6, 0.5), 4).shape == (0, 4)
    assert paths(LAYER[:0], TWO[:, :0], np.empty(0), 4).shape == (0, 4)
    assert paths(LAYER, TWO, np.ones(6), 4, min_hits=5).shape == (0, 4)
    with pytest.raises(InvalidRequest, match=r"given 4 for edges \[2, 6\]"):
        paths(LAYER, TWO, np.ones(4), 4)
