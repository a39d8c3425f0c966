from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.simulation.pileup import BEAM_SPOT_Z_CM, add_pile_up
from sonic.workloads.simulation.pythia import concatenate


@pytest.fixture
def mixed(make_particles):
    hard = make_particles(300, event=np.arange(300), pt=50.0)
    pool = concatenate([make_particles(3, event=i, pt=1.0 + i, eta=1.0, vx=0.1) for i in range(20)])
    return add_pile_up(hard, 300, pool, 30.0, 5.0, np.random.default_rng(0))


def test_numbers_follow_the_mean_and_collisions_are_whole(mixed):
    particles, interactions = mixed
    assert interactions.mean() == pytest.approx(0.72 * 30, rel=0.05)
    assert np.bincount(particles.event).tolist() == (1 + 3 * interactions).tolist()
    assert (np.diff(particles.event) >= 0).all()
    assert np.array_equal([particles.collision[particles.event == e].max() for e in range(300)], interactions)


def test_collisions_are_turned_mirrored_and_moved(mixed):
    particles, _ = mixed
    pile_up = particles[particles.collision > 0]
    assert set(np.round(pile_up.pt, 6)) <= {1.0 + i for i in range(20)}
    assert abs(np.cos(pile_up.phi).mean()) < 0.05
    assert (pile_up.eta > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.hypot(pile_up.vx, pile_up.vy) == pytest.approx(0.1)
    assert pile_up.vz.std() == pytest.approx(np.sqrt(2) * BEAM_SPOT_Z_CM, rel=0.1)
    one = pile_up[(pile_up.event == 0) & (pile_up.collision == 1)]
    assert len(set(one.vz)) == 1


def test_the_hard_collision_stays(mixed):
    particles, _ = mixed
    hard = particles[particles.collision == 0]
    assert hard.pt == pytest.approx(50.0)
    assert not hard.vz.any()
