from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.hgcal.condensation import clusters


def test_hits_belong_to_the_nearest_point():
    x = np.array([0, 0.1, 0.3, 0.5, 1.0, 1.1, 5.0], np.float32)
    places = np.stack([x, 0 * x, 0 * x], axis=1)
    beta = np.array([0.5, 0.9, 0.2, 0.05, 0.8, 0.4, 0.05], np.float32)
    # Points are at 0.1 and 1.0; the one at 0 is within reach of the first, the last of none.
    label = clusters(beta, places, min_beta=0.1, radius=0.6)
    assert label.tolist() == [0, 0, 0, 0, 1, 1, -1]


def test_a_point_is_the_first_of_its_kind():
    places = np.zeros((4, 3), np.float32)
    assert clusters(np.array([0.3, 0.9, 0.9, 0.2], np.float32), places).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("beta", [[0.0, 0.05], [float("nan")] * 2, []])
def test_without_points_there_are_no_clusters(beta: list[float]):
    label = clusters(np.array(beta, np.float32), np.zeros((len(beta), 3), np.float32))
    assert label.tolist() == [-1] * len(beta)


def test_noise_is_in_no_cluster():
    beta = np.array([0.9, 0.01, 0.00001], np.float32)
    assert clusters(beta, np.zeros((3, 3), np.float32)).tolist() == [0, 0, -1]
    assert clusters(beta, np.zeros((3, 3), np.float32), noise_beta=0.0).tolist() == [0, 0, 0]


def test_one_hit():
    assert clusters(np.ones(1, np.float32), np.zeros((1, 3), np.float32)).tolist() == [0]


def test_a_place_that_is_not_a_number_is_near_nothing():
    places = np.array([[np.nan] * 3, [0, 0, 0], [0.1, 0, 0]], np.float32)
    assert clusters(np.array([0.9, 0.8, 0.1], np.float32), places).tolist() == [-1, 0, 0]


def test_beta_and_coordinates_go_together():
    with pytest.raises(InvalidRequest, match="given 2 and 3"):
        clusters(np.ones(2, np.float32), np.zeros((3, 3), np.float32))
