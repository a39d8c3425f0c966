from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.simulation.detector import detect
from sonic.workloads.simulation.puppi import _chi2_cdf, puppi_weights
from sonic.workloads.simulation.pythia import concatenate

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def weighted(make_particles: Callable):
    """A jet of the hard collision at phi = 0, on pile-up everywhere."""
    rng = np.random.default_rng(0)

    def spread(n: int, **rest):
        return make_particles(n, eta=rng.uniform(-2.4, 2.4, n), phi=rng.uniform(-3.1, 3.1, n), **rest)

    def jet(n: int, **rest):
        return make_particles(n, eta=rng.normal(0, 0.1, n), phi=rng.normal(0, 0.1, n), **rest)

    particles = concatenate(
        [
            jet(20, charge=1, pt=8.0),
            jet(10, pdg_id=22, pt=8.0),
            spread(600, charge=1, pt=1.0, vz=5.0, collision=1),
            spread(200, pdg_id=22, pt=1.0, vz=5.0, collision=1),
        ]
    )
    candidates = detect(particles, rng)
    return candidates, puppi_weights(candidates, np.array([20]))


def test_charged_candidates_count_fully_or_not_at_all(weighted):
    candidates, weights = weighted
    charged = candidates.charge != 0
    assert np.array_equal(weights[charged], candidates.primary[charged].astype(float))


def test_neutral_ones_count_by_their_neighbours(weighted):
    candidates, weights = weighted
    photons = candidates.pdg_id == 22
    in_jet = np.hypot(candidates.eta, candidates.phi) < 0.3
    assert weights[photons & in_jet & (candidates.pt > 5)].min() > 0.7
    assert weights[photons & ~in_jet].mean() < 0.1
    assert weights.min() >= 0
    assert weights.max() <= 1


def test_no_candidates_and_no_pile_up(make_particles: Callable):
    rng = np.random.default_rng(0)
    none = detect(make_particles(0), rng)
    assert len(puppi_weights(none, np.array([3, 3]))) == 0
    alone = detect(make_particles(1, pdg_id=22, pt=20.0, event=1), rng)
    assert puppi_weights(alone, np.array([0, 0])).tolist() == [0.0]


def test_the_chi_squared_distribution():
    assert _chi2_cdf(np.array([0.0, 1.0, 4.0, 100.0])) == pytest.approx([0, 0.6827, 0.9545, 1], abs=1e-4)


def test_generated_pile_up_is_weighted_down(generated: ak.Array):
    weights = generated.PFCands_puppiWeight
    central = np.abs(generated.PFCands_eta) < 2.5
    neutral = (generated.PFCands_charge == 0) & central
    hard = ak.flatten(weights[neutral & (generated.PFCands_pt > 20)])
    soft = ak.flatten(weights[neutral & (generated.PFCands_pt < 1)])
    assert ak.mean(hard) > 0.6 > 0.4 > ak.mean(soft)
