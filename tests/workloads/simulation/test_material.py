from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.simulation.material import LAYER_RADII_CM, interact, radiation_lengths


def test_photons_convert_in_the_layers(make_particles):
    n = 5000
    after = interact(make_particles(n, pdg_id=22, pt=10.0, eta=1.0), np.random.default_rng(0))
    electrons = after[np.abs(after.pdg_id) == 11]
    share = 1 - np.exp(-7 / 9 * radiation_lengths(np.array([1.0]))[0])
    assert len(electrons) / 2 / n == pytest.approx(share, rel=0.05)
    assert electrons.charge.sum() == 0
    assert after.energy.sum() == pytest.approx(n * 10 * np.cosh(1.0), rel=1e-3)
    radius = np.hypot(electrons.vx, electrons.vy)
    assert set(np.round(radius, 6)) == set(LAYER_RADII_CM)
    assert electrons.vz == pytest.approx(radius * np.sinh(1.0))


def test_hadrons_break_up(make_particles):
    before = make_particles(5000, charge=1, pt=10.0, eta=0.0)
    after = interact(before, np.random.default_rng(0))
    products = after[np.hypot(after.vx, after.vy) > 0]
    assert set(np.unique(np.abs(products.pdg_id))) == {22, 211}
    struck = 5000 - int((np.hypot(after.vx, after.vy) == 0).sum())
    assert struck / 5000 == pytest.approx(1 - np.exp(-0.45 / 6), rel=0.15)
    assert 2 <= len(products) / struck <= 4
    assert after.px.sum() == pytest.approx(before.px.sum(), rel=0.01)


def test_what_does_not_interact(make_particles):
    rng = np.random.default_rng(0)
    muons = make_particles(200, pdg_id=13, charge=-1, pt=10.0)
    forward = make_particles(200, pdg_id=22, pt=10.0, eta=4.0)
    late = make_particles(200, pdg_id=22, pt=10.0, vx=5.0)
    for particles in (muons, forward, late, muons[:0]):
        assert interact(particles, rng) is particles
