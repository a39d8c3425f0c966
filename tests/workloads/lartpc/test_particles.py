from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.particles import EM, TRACK, Beam, Making, make

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber

NOTHING = Beam(0, 0, 0, 0, 0)


def test_an_event_of_nothing(chamber: Chamber) -> None:
    steps, particles = make(NOTHING, chamber, np.random.default_rng(1))
    assert len(steps.energy_mev) == len(particles.kind) == 0


def test_stopping_muons_stop_and_two_in_three_have_an_electron_where_they_do() -> None:
    making = Making(PROTODUNE, np.random.default_rng(2))
    for _ in range(60):
        making.stopping()
    steps, particles = making.finish()
    muons = particles.pdg == 13
    assert muons.sum() == 60
    assert (particles.kind[muons] == TRACK).all()
    assert (particles.kind[~muons] == EM).all()
    assert particles.michel.tolist() == (particles.pdg == 11).tolist()
    assert (particles.pdg == 22).sum() == particles.michel.sum()  # what they radiate
    assert 25 < particles.michel.sum() < 55
    assert particles.kinetic_mev[particles.michel].max() < 53
    last, first = steps.particle == 0, steps.particle == 1
    if particles.michel[1]:
        end, begin = steps.position_mm[last][-1], steps.position_mm[first][0]
        assert np.linalg.norm(end - begin) < 10


def test_pions_interact_and_neutral_ones_make_photons() -> None:
    making = Making(PROTODUNE, np.random.default_rng(3))
    for _ in range(30):
        making.pion()
    steps, particles = making.finish()
    assert {13, 211, 2212, 22} - set(particles.pdg) == {13}
    assert ((particles.pdg == 22) & (particles.kinetic_mev > 0)).sum() % 2 == 0
    assert (particles.kinetic_mev[particles.pdg != 22] > 0).all()
    assert set(steps.particle) <= set(range(len(particles.pdg)))


def test_muons_that_go_through_come_from_above_and_leave() -> None:
    making = Making(PROTODUNE, np.random.default_rng(4))
    for _ in range(10):
        making.through()
    steps, particles = making.finish()
    assert not particles.michel.any()
    for number in range(10):
        height = steps.position_mm[steps.particle == number, 1]
        assert height[0] > 5990
        assert height[-1] < height[0]
