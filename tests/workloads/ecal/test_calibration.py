from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.ecal.calibration import ETA_EDGES, Weights, energies, fit, standard, sums
from sonic.workloads.ecal.geometry import CELL_ETA
from sonic.workloads.ecal.images import draw

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.workloads.ecal.simulation import Electrons


def test_the_weights_that_come_with_sonic_find_the_energies(made: Electrons):
    found = energies(sums(draw(made)), CELL_ETA * (made.ieta + 0.5))
    ratio = found / made.energy_gev
    hard = made.energy_gev > 60
    assert np.median(ratio[hard]) == pytest.approx(1, abs=0.01)
    low, high = np.percentile(ratio[hard], [16, 84])
    assert (high - low) / 2 < 0.025
    raw = sums(draw(made))[:, 1:].sum(axis=1) / made.energy_gev
    assert np.abs(ratio - 1).mean() < 0.5 * np.abs(raw - 1).mean()


def test_a_fit_finds_the_weights_that_there_are(tmp_path: Path):
    random = np.random.default_rng(1)
    layers = random.uniform(1, 20, (2000, 4))
    eta = random.uniform(-1.35, 1.35, 2000)
    true = layers @ [2.0, 1.0, 1.1, 1.5] + 0.3
    found = fit(layers, eta, true)
    assert energies(layers, eta, found) == pytest.approx(true, rel=1e-4)
    found.write(tmp_path / "weights.json")
    assert len(found.values) == len(ETA_EDGES) - 1


def test_weights_are_kept_as_they_are():
    assert standard().eta_edges == ETA_EDGES
    assert all(len(row) == 13 for row in standard().values)


def test_no_energy_is_negative_and_beyond_the_barrel_its_last_weights_count():
    layers = np.array([[0.0, -20.0, -20.0, 0.0], [0.0, 5.0, 30.0, 0.0], [0.0, 5.0, 30.0, 0.0]])
    found = energies(layers, np.array([0.0, 1.34, 7.0]))
    assert found[0] == 0
    assert found[1] == found[2] > 30


def test_too_few_electrons_cannot_be_fitted():
    with pytest.raises(ConfigError, match="3 electrons of a bin in eta"):
        fit(np.ones((3, 4)), np.zeros(3), np.ones(3))


def test_images_of_another_shape_are_refused():
    with pytest.raises(InvalidRequest, match=r"\[n, 56, 11, 4\], given \[2, 11, 56, 4\]"):
        sums(np.zeros((2, 11, 56, 4), np.float32))


def test_weights_say_their_bins():
    narrow = Weights((0.0, 1.0), ((1.0,) + (0.0,) * 12,))
    assert energies(np.array([[2.0, 1.0, 1.0, 1.0]]), np.array([0.5]), narrow) == pytest.approx([2.0])
