from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.showers import MICHEL_MEV, Quanta, develop, michel_energy


def quanta(number: int, energy_mev: float, *, photon: bool = False) -> Quanta:
    at = np.tile([1800.0, 3000.0, 200.0], (number, 1))
    way = np.tile([0.0, 0.0, 1.0], (number, 1))
    whose = np.arange(number)
    return Quanta(at, way, np.full(number, energy_mev), np.full(number, photon), whose, whose)


def test_all_energy_of_a_shower_that_stays_is_found() -> None:
    steps = develop(quanta(20, 300.0), PROTODUNE, np.random.default_rng(1))
    # What pairs are made of is not in it.
    assert steps.energy_mev.sum() / 20 == pytest.approx(300, rel=0.06)
    assert set(steps.particle) == set(range(20))


def test_a_shower_starts_with_its_electron_or_where_its_photon_converts() -> None:
    random = np.random.default_rng(2)
    electrons, photons = (develop(quanta(300, 200.0, photon=p), PROTODUNE, random) for p in (False, True))
    first = [s.position_mm[np.unique(s.particle, return_index=True)[1], 2] for s in (electrons, photons)]
    assert np.median(first[0] - 200) < 2
    assert np.median(first[1] - 200) == pytest.approx(180 * np.log(2), rel=0.25)


def test_a_shower_is_wide_and_has_gaps() -> None:
    steps = develop(quanta(20, 500.0), PROTODUNE, np.random.default_rng(3))
    across = np.hypot(steps.position_mm[:, 0] - 1800, steps.position_mm[:, 1] - 3000)
    # The Moliere radius of liquid argon is 9 cm, and has nine tenths of the energy.
    inside = steps.energy_mev[across < 90].sum() / steps.energy_mev.sum()
    assert 0.75 < inside < 0.97


def test_what_an_electron_radiates_is_its_heirs() -> None:
    electrons = quanta(50, 45.0)._replace(heir=np.arange(50, 100))
    steps = develop(electrons, PROTODUNE, np.random.default_rng(7))
    own = steps.particle < 50
    assert steps.energy_mev.sum() == pytest.approx(50 * 45, rel=0.1)
    assert 0.5 < steps.energy_mev[own].sum() / steps.energy_mev.sum() < 0.7  # argon radiates well
    # An electron of that energy goes 20 cm at most; photons go as far again.
    distance = np.linalg.norm(steps.position_mm - [1800, 3000, 200], axis=1)
    assert distance[own].max() < 220 < distance[~own].max()


def test_the_michel_spectrum() -> None:
    energies = michel_energy(20_000, np.random.default_rng(4))
    assert energies.max() <= MICHEL_MEV
    assert energies.mean() == pytest.approx(0.7 * MICHEL_MEV, rel=0.01)
    assert np.median(energies) > energies.mean()


def test_nothing_develops_to_nothing() -> None:
    assert len(develop(quanta(0, 1.0), PROTODUNE, np.random.default_rng(5)).energy_mev) == 0


def test_what_leaves_is_gone() -> None:
    away = quanta(5, 300.0)._replace(direction=np.tile([0.0, 0.0, -1.0], (5, 1)))
    steps = develop(away, PROTODUNE, np.random.default_rng(6))
    assert PROTODUNE.inside(steps.position_mm).all()
    assert steps.energy_mev.sum() < 0.7 * 1500
