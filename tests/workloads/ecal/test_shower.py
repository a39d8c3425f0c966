from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.ecal.shower import depths, radii_cm, showers


def shaped(energy_gev: float, number: int = 4000):
    random = np.random.default_rng(5)
    return showers(np.full(number, energy_gev), random), random


def test_showers_reach_deeper_with_the_logarithm_of_the_energy():
    low, high = (np.median(shaped(energy)[0].maximum) for energy in (10.0, 100.0))
    assert low == pytest.approx(np.log(10 / 0.0095) - 0.812, rel=0.02)
    assert high - low == pytest.approx(np.log(10), rel=0.05)


def test_showers_of_less_energy_vary_more_and_late_ones_are_long():
    low, high = (shaped(energy)[0] for energy in (10.0, 100.0))
    assert np.log(low.maximum).std() > 1.3 * np.log(high.maximum).std()
    assert np.corrcoef(np.log(high.maximum), np.log(high.alpha))[0, 1] == pytest.approx(0.5, abs=0.05)


def test_spots_lie_where_the_profile_has_them():
    shapes, random = shaped(50.0, 1)
    depth = depths(shapes, np.zeros(20_000, np.int64), random)
    assert depth.mean() == pytest.approx(shapes.maximum[0] * shapes.alpha[0] / (shapes.alpha[0] - 1), rel=0.02)
    assert depth.min() > 0


def test_showers_widen_with_depth():
    shapes, random = shaped(50.0, 1)
    which = np.zeros(5000, np.int64)
    near, far = (np.median(radii_cm(shapes, which, np.full(5000, depth), random)) for depth in (2.0, 15.0))
    assert 0 < near < 0.5 * far < 10


def test_the_softest_showers_have_a_shape():
    shapes, random = shaped(0.01, 500)
    depth = depths(shapes, np.arange(500), random)
    assert np.isfinite(depth).all()
    assert np.isfinite(radii_cm(shapes, np.arange(500), depth, random)).all()
    assert (shapes.alpha > 1).all()
