from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.ecal.calibration import sums
from sonic.workloads.ecal.geometry import CELL_ETA, LAYERS, MIDDLE, PIXEL_PHI, PRESAMPLER
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.simulation import BLOCK, Beam, Electrons, electrons


def test_electrons_leave_most_of_their_energy_around_where_they_hit(made: Electrons):
    drawn = draw(made)
    seen = drawn[..., PRESAMPLER + 1 :].sum(axis=(1, 2, 3)) / made.energy_gev
    assert 0.85 < np.median(seen) < 1.0
    assert np.abs(CELL_ETA * (made.ieta + 0.5) - made.eta).max() < 3 * CELL_ETA
    away = (PIXEL_PHI * (made.iphi + 0.5) - made.phi + np.pi) % (2 * np.pi) - np.pi
    assert np.median(np.abs(away)) < PIXEL_PHI
    middle = drawn[..., MIDDLE].sum(axis=(1, 2)) / drawn.sum(axis=(1, 2, 3))
    assert 0.5 < np.median(middle[made.energy_gev > 50]) < 0.95


def test_more_material_leaves_less_in_the_calorimeter(made: Electrons):
    seen = sums(draw(made))[:, PRESAMPLER + 1 :].sum(axis=1) / made.energy_gev
    central = np.abs(made.eta) < 0.5
    soft = made.energy_gev < 30
    assert np.median(seen[soft & central]) > np.median(seen[soft & (np.abs(made.eta) > 1.0)]) + 0.03
    assert np.median(seen[~soft & central]) > np.median(seen[soft & central])


def test_the_same_seed_gives_the_same_electrons_however_many_follow():
    soft = Beam(max_energy_gev=6.0)
    more, fewer, other = (electrons(n, soft, seed=seed) for n, seed in ((BLOCK + 2, 11), (BLOCK, 11), (BLOCK, 12)))
    for field in fields(Electrons):
        ours = getattr(fewer, field.name)
        assert ours.tobytes() == getattr(more, field.name)[: len(ours)].tobytes()
    assert np.bincount(more.cluster, minlength=BLOCK + 2).min() > 300
    assert other.energy_gev[0] != more.energy_gev[0]


def test_cells_are_those_of_the_image_and_noise_is_in_all(made: Electrons):
    per_cluster = np.bincount(made.cluster, minlength=len(made))
    assert len(per_cluster) == len(made)
    assert 300 < per_cluster.min() <= per_cluster.max() < 400
    assert (made.cell_iphi >= 0).all()
    for number, layer in enumerate(LAYERS):
        cells = made.layer == number
        assert made.cell_iphi[cells].max() < 256 // layer.phi_pixels
        quiet = made.cell_gev[cells]
        assert np.percentile(quiet, 10) == pytest.approx(-1.28 * layer.noise_gev, rel=0.5)


def test_pile_up_adds_noise_and_nothing_on_average():
    beam = {"min_energy_gev": 5.0, "max_energy_gev": 5.1}
    clean, busy = (sums(draw(electrons(250, Beam(**beam, pileup=mu), seed=3))) for mu in (0.0, 60.0))
    total = [part.sum(axis=1) for part in (clean, busy)]
    assert total[1].std() > 1.2 * total[0].std()
    assert abs(np.median(total[1]) - np.median(total[0])) < 0.5


def test_none_is_an_answer():
    nothing = electrons(0, seed=1)
    assert len(nothing) == 0
    assert draw(nothing).shape == (0, 56, 11, 4)


@pytest.mark.parametrize(
    "given",
    [{"min_energy_gev": 0.1}, {"min_energy_gev": 50.0, "max_energy_gev": 10.0}, {"max_eta": 2.0}, {"pileup": -1.0}],
)
def test_what_makes_no_sense_is_said(given: dict[str, Any]):
    with pytest.raises(ConfigError, match="given Beam"):
        Beam(**given)
