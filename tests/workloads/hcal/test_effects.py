from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("fastjet")

from sonic.errors import InvalidRequest
from sonic.workloads.hcal import sums
from sonic.workloads.hcal.effects import effects, jets, simulate
from sonic.workloads.hcal.simulation import Beam
from sonic.workloads.hcal.towers import towers

if TYPE_CHECKING:
    from sonic.workloads.hcal.pulse import Floats
    from sonic.workloads.hcal.simulation import Conditions

EDGES_GEV = (20.0, 50.0, 400.0)


@pytest.fixture(scope="module")
def simulated(hcal_known: Conditions) -> tuple[Floats, dict[str, Floats]]:
    beam = Beam(pileup=40, jets=30, max_pt_gev=300, pt_power=1.5)
    return simulate(4, beam, {"two slices": sums.energy}, known=hcal_known, seed=3)


def test_the_true_energies_have_the_true_jets_and_missing_energy(simulated: tuple[Floats, dict[str, Floats]]) -> None:
    true, _ = simulated
    same = effects(true, true, EDGES_GEV)
    assert same.jets.number.min() >= 10
    assert same.jets.bias == pytest.approx(0)
    assert same.jets.width == pytest.approx(0)
    assert same.efficiency == pytest.approx(1)
    assert (same.extra, same.missing_gev, same.sum_gev) == (0, 0, 0)


def test_jets_follow_the_scale_of_the_energies(simulated: tuple[Floats, dict[str, Floats]]) -> None:
    true, _ = simulated
    low = effects(true, 0.9 * true, EDGES_GEV, least_gev=0)
    assert low.jets.bias == pytest.approx(-0.1, abs=0.01)
    assert low.sum_gev < 0
    assert low.missing_gev > 0


def test_pile_up_of_other_crossings_makes_the_two_slices_worse(simulated: tuple[Floats, dict[str, Floats]]) -> None:
    true, found = simulated
    assert found["two slices"].shape == true.shape == (4, 15_840)
    worse = effects(true, found["two slices"], EDGES_GEV)
    assert worse.sum_gev > 10
    assert worse.missing_gev > 1
    assert worse.jets.bias[0] > 0.02
    assert worse.jets.width[0] > worse.jets.width[1]


def test_jets_are_anti_kt_jets_of_towers() -> None:
    energy = np.zeros((3, 15_840))
    energy[1, 4000] = 80.0
    made = towers(energy)
    found = jets(made)
    assert found.pt.tolist()[::2] == [[], []]
    tower = np.argmax(made.energy_gev[1])
    assert found.pt[1].tolist() == pytest.approx([made.et_gev[1].max()])
    assert found.eta[1].tolist() == pytest.approx([made.eta[tower]])
    assert found.phi[1].tolist() == pytest.approx([made.phi[tower]])


def test_energies_that_lose_all_jets_or_make_new_ones() -> None:
    true = np.zeros((2, 15_840))
    true[0, 4000] = 80.0
    lost = effects(true, np.full_like(true, np.nan), EDGES_GEV)
    assert lost.efficiency[0] == 0
    assert np.isnan(lost.efficiency[1])
    assert np.isnan(lost.jets.bias).all()
    assert lost.extra == 0
    made_up = effects(np.zeros_like(true), true, EDGES_GEV)
    assert made_up.extra == 0.5
    assert np.isnan(made_up.efficiency).all()


def test_energies_of_other_events_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"same events, given \[2, 15840\] and \[1, 15840\]"):
        effects(np.zeros((2, 15_840)), np.zeros((1, 15_840)))
    with pytest.raises(InvalidRequest, match="same events"):
        effects(np.zeros((0, 15_840)), np.zeros((0, 15_840)))
