from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.towers import towers

if TYPE_CHECKING:
    from sonic.workloads.hcal.simulation import Event


def test_a_tower_has_what_its_depths_have(hcal_event: Event) -> None:
    energy = hcal_event.energy_gev
    made = towers(energy, least_gev=0)
    where = channels()
    assert len(made) == 72 * 40 + 36 * 18
    for number in (0, 1000, 3000):
        own = (where.ieta == made.ieta[number]) & (where.iphi == made.iphi[number])
        assert made.energy_gev[number] == pytest.approx(energy[own].sum())
        assert made.eta[number] == where.eta[own][0]
        assert made.phi[number] == where.phi[own][0]
    assert made.energy_gev.sum() == pytest.approx(energy.sum())
    assert made.et_gev == pytest.approx(made.energy_gev / np.cosh(made.eta))


def test_many_events_are_as_each_alone(hcal_event: Event) -> None:
    energies = np.stack([hcal_event.energy_gev, hcal_event.energy_gev[::-1]])
    both = towers(energies)
    assert both.energy_gev.shape == (2, len(both))
    for row, energy in zip(both.energy_gev, energies, strict=True):
        assert row.tobytes() == towers(energy).energy_gev.tobytes()
    assert towers(energies[:0]).energy_gev.shape == (0, len(both))
    assert towers(energies.reshape(2, 1, -1)).energy_gev.shape == (2, 1, len(both))
    event, momentum = both.momenta()
    assert (np.diff(event) >= 0).all()
    assert np.bincount(event).tolist() == (both.energy_gev > 0).sum(axis=1).tolist()
    px, py, pz, energy = momentum
    assert px**2 + py**2 + pz**2 == pytest.approx(energy**2)
    for number, missing in enumerate(both.missing_gev):
        mine = event == number
        assert missing == pytest.approx([-px[mine].sum(), -py[mine].sum()])


def test_one_tower_is_balanced_by_what_is_missing() -> None:
    energy = np.zeros(15_840)
    number = 4321
    energy[number] = 50.0
    made = towers(energy)
    where = channels()[np.array([number])]
    missing = made.missing_gev
    assert np.hypot(*missing) == pytest.approx(50 / np.cosh(where.eta[0]))
    assert np.arctan2(missing[1], missing[0]) == pytest.approx((where.phi[0] + 2 * np.pi) % (2 * np.pi) - np.pi)


def test_little_and_what_is_no_number_count_for_nothing() -> None:
    where = channels()[:6]
    energy = np.array([1.0, 0.3, -2.0, np.nan, np.inf, 2.0])
    assert towers(energy, where).energy_gev.sum() == 3.0
    assert towers(energy, where, least_gev=0).energy_gev.sum() == pytest.approx(3.3)
    assert towers(energy, where, least_gev=-5).energy_gev.sum() == pytest.approx(3.3)
    nothing = towers(np.zeros(15_840))
    assert nothing.missing_gev.tolist() == [0, 0]
    assert len(nothing.momenta()[0]) == 0


def test_energies_of_other_channels_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"15840 channels, given shape \[2, 100\]"):
        towers(np.zeros((2, 100)))
    with pytest.raises(InvalidRequest, match=r"given shape \[\]"):
        towers(np.array(1.0))
