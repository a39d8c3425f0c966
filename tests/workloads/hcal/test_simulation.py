from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.pulse import PULSE, SATURATED
from sonic.workloads.hcal.simulation import (
    SIMULATED,
    TRIGGERED,
    Beam,
    Conditions,
    Event,
    conditions,
    depth_share,
    digitise,
    event,
    events,
)

EXACT = Beam(time_sigma_ns=0.0, photostatistics=False)


def quiet(number: int) -> Conditions:
    """Channels without noise."""
    return Conditions(
        np.full(number, 90.0),
        np.zeros(number),
        np.zeros(number),
        np.full(number, 1 / 3500),
        np.full(number, 44.0),
    )


def test_a_seed_gives_the_same_events(hcal_known: Conditions) -> None:
    one, two = events(2, known=hcal_known, seed=5)
    again = events(2, known=hcal_known, seed=5)[1]
    assert (two.codes == again.codes).all()
    assert (two.deposits_gev == again.deposits_gev).all()
    assert not np.array_equal(one.codes, two.codes)
    assert (conditions(5).gain_gev == conditions(5).gain_gev).all()
    assert not np.array_equal(conditions(5).gain_gev, conditions(6).gain_gev)


def test_charges_are_those_of_the_true_deposits(hcal_event: Event, hcal_known: Conditions) -> None:
    expected = hcal_event.deposits_gev @ PULSE.fractions(SIMULATED) / hcal_known.gain_gev[:, None]
    miss = hcal_event.charge_fc - hcal_known.pedestal_fc[:, None] - expected
    silent = expected.sum(axis=1) == 0
    assert 28 < miss[silent].std() < 33
    assert abs(miss[silent].mean()) < 1
    large = expected.max(axis=1) > 2000
    assert large.sum() > 50
    ratio = (hcal_event.charge_fc - hcal_known.pedestal_fc[:, None])[large].sum(axis=1) / expected[large].sum(axis=1)
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_pile_up_is_alike_in_all_crossings_and_follows_its_mean(hcal_known: Conditions) -> None:
    energies = [
        event(Beam(pileup=mean, jets=0), hcal_known, np.random.default_rng(3)).deposits_gev.sum(axis=0)
        for mean in (0.0, 40.0, 160.0)
    ]
    assert (energies[0] == 0).all()
    assert energies[2].mean() / energies[1].mean() == pytest.approx(4, rel=0.3)
    assert (np.abs(energies[2] / energies[2].mean() - 1) < 0.5).all()


def test_jets_leave_a_part_of_their_energy_around_their_direction(hcal_known: Conditions) -> None:
    jets = np.array([[200.0, 1.0, 3.1], [100.0, -2.0, 0.5], [500.0, 4.0, 0.0]])
    made = event(Beam(pileup=0, jets=0), hcal_known, np.random.default_rng(4), jets)
    where = channels()
    for pt, eta, phi in jets[:2]:
        apart = np.abs((where.phi - phi + np.pi) % (2 * np.pi) - np.pi)
        near = (np.abs(where.eta - eta) < 0.6) & (apart < 0.6)
        assert 0.25 < made.energy_gev[near].sum() / (pt * np.cosh(eta)) < 0.85
    assert made.deposits_gev.sum() == pytest.approx(made.energy_gev.sum())  # none in other crossings
    assert made.energy_gev.sum() < 0.85 * (200 * np.cosh(1.0) + 100 * np.cosh(2.0))


def test_depths_share_what_a_tower_gets() -> None:
    where = channels()
    share = depth_share(where)
    one = (where.ieta == -20) & (where.iphi == 7)
    assert share[one].sum() == pytest.approx(1)
    assert (np.diff(share[one]) < 0).all()
    assert share.sum() == pytest.approx(len(np.unique(np.stack([where.ieta, where.iphi]), axis=1).T))


def test_too_much_charge_saturates() -> None:
    deposits = np.zeros((2, len(SIMULATED)))
    deposits[:, TRIGGERED] = [10.0, 1e4]
    codes = digitise(deposits, EXACT, quiet(2), np.random.default_rng(0))
    made = Event(codes, deposits)
    assert made.saturated.tolist() == [False, True]
    assert (codes[1] == SATURATED).sum() >= 2


def test_without_chance_the_same_deposit_gives_the_same_code() -> None:
    deposits = np.zeros((50, len(SIMULATED)))
    deposits[:, TRIGGERED] = 3.0
    exact = digitise(deposits, EXACT, quiet(50), np.random.default_rng(0))
    assert (exact == exact[0]).all()
    varied = digitise(deposits, Beam(time_sigma_ns=0.0), quiet(50), np.random.default_rng(0))
    assert len(np.unique(varied, axis=0)) > 10
    nothing = digitise(np.zeros((50, len(SIMULATED))), Beam(), quiet(50), np.random.default_rng(0))
    assert (nothing == nothing[0, 0]).all()


def test_what_makes_no_sense_is_refused(hcal_known: Conditions) -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="15840 channels, given 10"):
        event(Beam(), hcal_known[:10], random)
    with pytest.raises(ConfigError, match=r"\[jets, 3\], given \[3\]"):
        event(Beam(), hcal_known, random, np.zeros(3))
    with pytest.raises(ConfigError, match="0 or more"):
        Beam(pileup=-1)
    with pytest.raises(ConfigError, match="0 or more"):
        Beam(pileup=float("nan"))
    with pytest.raises(ConfigError, match="min_pt_gev < max_pt_gev"):
        Beam(min_pt_gev=50, max_pt_gev=20)
