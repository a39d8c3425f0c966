from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.tracking.comparison import STEPS, compare, rates
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.simulation import Beam, event

if TYPE_CHECKING:
    from sonic.workloads.tracking.graphs import Graph


def test_both_find_the_tracks_of_the_same_events() -> None:
    asked: list[Graph] = []

    def score(graph: Graph) -> np.ndarray:
        asked.append(graph)
        return np.ones(graph.edges.shape[1], np.float32)

    small, large = compare(score, (10, 60), events=2, seed=5)
    assert len(asked) == 4
    assert small.hits < large.hits
    assert large.edges == np.mean([graph.edges.shape[1] for graph in asked[2:]])
    assert set(large.seconds) == set(STEPS)
    assert all(seconds > 0 for seconds in large.seconds.values())
    assert rates(large.network)[0] > 0.9
    made = event(Beam(particles=60), np.random.default_rng((5, 60, 1)))
    expected = match(made, find(made.layer, made.phi, made.z_mm).hits)
    assert large.finder[1].counts == expected.counts


def test_what_the_network_refuses_is_not_found() -> None:
    (row,) = compare(lambda graph: np.zeros(graph.edges.shape[1]), (20,), events=1)
    efficiency, fakes = rates(row.network)
    assert efficiency == 0
    assert math.isnan(fakes)
    assert rates(row.finder)[0] > 0.9
    (none,) = compare(lambda graph: np.zeros(graph.edges.shape[1]), (0,), events=1)
    assert none.hits == 0
    assert all(map(math.isnan, rates(none.finder)))
