from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hgcal.energy import measure
from sonic.workloads.hgcal.hits import Hits
from sonic.workloads.hgcal.simulation import Beam, events

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


def test_photons_have_their_energy_and_place(lone_photons: list[Event]):
    found = [measure(each.shower, each.hits) for each in lone_photons]
    assert np.median([each.energy_gev[0] for each in found]) == pytest.approx(20, rel=0.03)
    assert not any(each.hadronic[0] for each in found)
    for each, cluster in zip(lone_photons, found, strict=True):
        assert np.hypot(cluster.x_cm[0] - each.entry_cm[0, 0], cluster.y_cm[0] - each.entry_cm[1, 0]) < 1
        assert cluster.hits[0] == len(each)


def test_hadrons_have_their_energy_on_the_whole():
    made = events(150, Beam(1, 1, min_energy_gev=15, max_energy_gev=15, shares=(0, 0, 1, 0), noise_hits=0), seed=8)
    found = [measure(each.shower, each.hits) for each in made]
    assert np.median([each.energy_gev[0] for each in found]) == pytest.approx(15, rel=0.08)
    assert np.mean([each.hadronic[0] for each in found]) > 0.9


def test_clusters_by_hand():
    hits = Hits(np.array([0, 10, 0, 0]), np.zeros(4), np.zeros(4), np.array([85.0, 85.0, 170.0, 5.0]))
    found = measure(np.array([1, 1, 0, -1]), hits)
    assert found.energy_gev.tolist() == [2, 2]
    assert found.layer.tolist() == [0, 5]
    assert found.hits.tolist() == [1, 2]


def test_a_number_that_no_hit_has_is_an_empty_cluster():
    hits = Hits(np.array([0]), np.ones(1), np.ones(1), np.ones(1))
    found = measure(np.array([1]), hits)
    assert found.hits.tolist() == [0, 1]
    assert found.energy_gev[0] == 0
    assert np.isfinite(np.concatenate([each.astype(float) for each in found])).all()


def test_no_clusters():
    hits = Hits(np.array([0]), np.ones(1), np.ones(1), np.ones(1))
    assert all(len(each) == 0 for each in measure(np.array([-1]), hits))
