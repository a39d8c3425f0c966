from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.hgcal.matching import match, nearest_cm

SHOWER = np.repeat([0, 1, -1], [6, 6, 2])
ENERGY, WHOLE = np.ones(14), (SHOWER >= 0).astype(float)


def test_the_truth_finds_everything():
    matched = match(SHOWER, SHOWER, ENERGY, WHOLE, 3)
    assert matched.cluster.tolist() == [0, 1, -1]
    assert matched.findable.tolist() == [True, True, False], "the third has no hits"
    assert (matched.efficiency, matched.fake_rate) == (1, 0)


def test_one_cluster_of_two_equal_showers_finds_neither():
    matched = match(np.zeros(14, int), SHOWER, ENERGY, WHOLE, 2)
    assert (matched.efficiency, matched.fake_rate) == (0, 1)
    assert not matched.merged.any(), "it finds no other"


def test_a_smaller_shower_is_merged_into_a_larger():
    energy = np.where(SHOWER == 0, 3.0, 1.0)
    matched = match(np.zeros(14, int), SHOWER, energy, WHOLE, 2)
    assert matched.found.tolist() == [True, False]
    assert matched.merged.tolist() == [False, True]
    assert matched.fake_rate == 0


def test_pieces_are_fakes():
    label = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, -1, -1])
    matched = match(label, SHOWER, ENERGY, WHOLE, 2)
    assert matched.found.tolist() == [True, False], "neither half of the second is more than half"
    assert matched.fake.tolist() == [False, True, True, True]


def test_a_cluster_of_noise_is_a_fake():
    label = np.where(SHOWER < 0, 2, SHOWER)
    assert match(label, SHOWER, ENERGY, WHOLE, 2).fake.tolist() == [False, False, True]


def test_what_another_left_in_a_hit_does_not_count():
    matched = match(SHOWER, SHOWER, ENERGY, np.where(SHOWER == 1, 0.4, WHOLE), 2)
    assert matched.found.tolist() == [True, False]


def test_nothing_to_find_and_nothing_found():
    none = np.empty(0, int)
    matched = match(none, none, np.empty(0), np.empty(0), 0)
    assert np.isnan([matched.efficiency, matched.fake_rate]).all()
    matched = match(np.full(14, -1), SHOWER, ENERGY, WHOLE, 2)
    assert matched.efficiency == 0


def test_the_nearest_particle():
    assert nearest_cm(np.array([[0.0, 3.0, 10.0], [0.0, 4.0, 4.0]])) == pytest.approx([5, 5, 7])
    assert nearest_cm(np.zeros((2, 1))).tolist() == [np.inf]
    assert nearest_cm(np.zeros((2, 0))).shape == (0,)
