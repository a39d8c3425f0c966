from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("scipy")

from sonic.errors import ConfigError
from sonic.framework.module import JobInfo
from sonic.workloads.hgcal.density import Density, clusters
from sonic.workloads.hgcal.figures import outcome, total
from sonic.workloads.hgcal.hits import Hits
from sonic.workloads.hgcal.workflow import DensityClusters

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


def hits(x_cm: list[float], energy: list[float], layer: int = 5) -> Hits:
    return Hits(np.full(len(x_cm), layer), np.array(x_cm), np.zeros(len(x_cm)), np.array(energy))


def test_most_showers_are_found_with_few_fakes(showers: list[Event]):
    found = total(outcome(each, clusters(each.hits)) for each in showers)
    assert found.efficiency > 0.7
    assert found.fake_rate < 0.15


def test_a_photon_alone_is_one_cluster(lone_photons: list[Event]):
    found = total(outcome(each, clusters(each.hits)) for each in lone_photons)
    assert found.efficiency == 1
    assert np.median(found.response) == pytest.approx(1, abs=0.05)


def test_hits_follow_their_nearest_of_higher_density():
    # Two hills with a valley between them; the last is far from all and weak.
    label = clusters(hits([0, 1, 2, 3.2, 4, 5, 6, 30], [9, 30, 9, 1, 9, 40, 9, 1]), Density(1.5, 2.5, 20.0, 0.2))
    assert label.tolist() == [1, 1, 1, 0, 0, 0, 0, -1]


def test_the_order_of_hits_does_not_matter(showers: list[Event]):
    made = showers[0].hits
    order = np.random.default_rng(1).permutation(len(made.layer))
    assert np.array_equal(clusters(made)[order], clusters(made.chosen(order)))


def test_equal_hits_make_one_cluster():
    assert clusters(hits([0, 0.5, 1.0], [50, 50, 50])).tolist() == [0, 0, 0]


def test_no_hits_and_one():
    assert len(clusters(hits([], []))) == 0
    assert clusters(hits([0], [1.0])).tolist() == [-1]
    assert clusters(hits([0], [100.0])).tolist() == [0]


def test_without_scipy_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(ConfigError, match=r"needs scipy: pip install 'sonic-hep\[hgcal\]'"):
        clusters(hits([0], [1.0]))
    with pytest.raises(ConfigError, match="needs scipy"):  # before the first event
        DensityClusters().begin_job(JobInfo("hgcal", (), 0))
