from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hlt.calorimeters import deposit, read_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.workloads.simulation.pythia import Particles

    Make = Callable[..., Particles]


def test_photons_stay_in_the_inner_calorimeter_and_hadrons_go_on(particle: Make, rng: np.random.Generator) -> None:
    photons = deposit(particle(22, 0, 20.0, 0.5, 1.0, 200), rng)
    energy = 200 * 20.0 * np.cosh(0.5)
    assert photons.hadronic.sum() == 0
    assert photons.inner.sum() == pytest.approx(energy, rel=0.02)
    hadrons = deposit(particle(130, 0, 20.0, 0.5, 1.0, 200), rng)
    assert hadrons.inner.sum() + hadrons.hadronic.sum() == pytest.approx(energy, rel=0.08)
    assert 0.6 * energy < hadrons.hadronic.sum() < 0.95 * energy


def test_energy_is_around_the_particle(particle: Make, rng: np.random.Generator) -> None:
    where = channels()
    left = deposit(particle(130, 0, 50.0, -1.9, 3.1, 50), rng).hadronic
    eta = np.average(where.eta, weights=left)
    phi = np.angle(np.average(np.exp(1j * where.phi), weights=left))
    assert eta == pytest.approx(-1.9, abs=0.05)
    assert phi == pytest.approx(3.1, abs=0.05)
    depth = np.bincount(where.depth, left)
    assert (np.diff(depth[1:]) < 0).all()  # deeper ones get less


def test_charged_particles_are_bent(particle: Make, rng: np.random.Generator) -> None:
    where = channels()
    shift = {}
    for charge in (-1, 1):
        left = deposit(particle(211 * charge, charge, 3.0, 0.3, 0.0, 300), rng).hadronic
        shift[charge] = np.angle(np.average(np.exp(1j * where.phi), weights=left))
    assert shift[1] == pytest.approx(-shift[-1], abs=0.03)
    # As a circle of the radius 3 GeV / (0.3 * 3.8 T) = 2.63 m has it at 1.29 m.
    assert shift[1] == pytest.approx(-np.arcsin(1.29 / (2 * 2.63)), abs=0.03)


@pytest.mark.parametrize(
    "gone",
    [
        (12, 0, 50.0, 0.0, 0.0),
        (211, 1, 0.5, 0.0, 0.0),  # curls up
        (22, 0, 50.0, 4.5, 0.0),
        (22, 0, 50.0, 0.0, 0.0, 0),
    ],
)
def test_what_leaves_nothing(gone: tuple[float, ...], particle: Make, rng: np.random.Generator) -> None:
    left = deposit(particle(*gone), rng)
    assert left.hadronic.sum() == left.inner.sum() == 0
    assert left.hadronic.shape == (15_840,)


def test_a_muon_leaves_little(particle: Make, rng: np.random.Generator) -> None:
    left = deposit(particle(13, -1, 100.0, 0.0, 0.0, 50), rng)
    assert (left.inner.sum(), left.hadronic.sum()) == pytest.approx((50 * 0.3, 50 * 1.7))  # none begins to shower


def test_cells_are_read_out_above_noise(particle: Make, rng: np.random.Generator) -> None:
    inner = deposit(particle(22, 0, 30.0, 1.0, -2.0), rng).inner
    ieta, iphi, energy = read_out(inner, 0.0, rng)
    assert energy.min() >= 0.25
    assert len(energy) < 60  # of 3528
    hottest = np.argmax(energy)
    assert inner[ieta[hottest], iphi[hottest]] == inner.max()
    assert energy.sum() == pytest.approx(inner.sum(), rel=0.3)
    assert len(read_out(inner, 100.0, rng)[0]) > 3 * len(energy)
