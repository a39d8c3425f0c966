from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.hcal.mahi import MAHI, Flag, Mahi, variance
from sonic.workloads.hcal.pulse import CROSSINGS, IN_TIME, MAX_FC, PULSE
from sonic.workloads.hcal.simulation import SIMULATED, TRIGGERED, Beam, Conditions, Event, digitise


def pulses(energies: list[float], known: Conditions, crossing: int = 0) -> np.ndarray:
    """Charges of one pulse each, exact."""
    charge = np.array(energies)[:, None] * PULSE.fractions(crossing) / known.gain_gev[:, None]
    return charge + known.pedestal_fc[:, None]


def by_hand(charge_fc: np.ndarray, known: Conditions, i: int) -> tuple[np.ndarray, float]:
    """One channel's fit, with scipy and dense matrices."""
    optimize = pytest.importorskip("scipy.optimize")
    mean, spread = MAHI.templates()
    y = charge_fc[i] - known.pedestal_fc[i]
    x = np.where(np.array(CROSSINGS) == 0, max(y[IN_TIME] / PULSE.fractions(0)[IN_TIME], 0), 0.0)
    alone = np.diag(variance(charge_fc[i][:, None], known[i : i + 1])[:, 0]) + known.baseline_fc[i] ** 2
    for _ in range(60):
        lower = np.linalg.cholesky(alone + spread @ x**2)
        x, miss = optimize.nnls(np.linalg.solve(lower, mean), np.linalg.solve(lower, y))
    return x, miss**2


def test_fits_are_those_of_scipy_channel_by_channel(hcal_event: Event, hcal_known: Conditions) -> None:
    random = np.random.default_rng(7)
    some = np.concatenate([np.argsort(hcal_event.energy_gev)[-20:], random.choice(len(hcal_event), 60)])
    charge, known = hcal_event.charge_fc[some], hcal_known[some]
    fitted = Mahi(chi2_step=1e-12, max_rounds=60).fit(charge, known)
    settled = 0
    for i in range(len(some)):
        x, chi2 = by_hand(charge, known, i)
        if not fitted.flags[i]:
            settled += 1
            assert fitted.amplitudes_fc[i] == pytest.approx(x, rel=1e-4, abs=0.1)
            assert fitted.chi2[i] == pytest.approx(chi2, rel=1e-4, abs=1e-6)
    assert settled > 70


def test_exact_pulses_give_their_energy_back(hcal_known: Conditions) -> None:
    energies = [0.0, 0.3, 1.0, 30.0, 100.0]
    known = hcal_known[:5]
    fitted = MAHI.fit(pulses(energies, known), known)
    assert fitted.energy_gev == pytest.approx(energies, rel=1e-6, abs=1e-9)
    assert fitted.chi2 == pytest.approx(0, abs=1e-6)
    assert (fitted.flags == 0).all()


@pytest.mark.parametrize("crossing", [-3, -1, 1, 4])
def test_a_pulse_of_another_crossing_is_not_taken_for_one_in_time(crossing: int, hcal_known: Conditions) -> None:
    known = hcal_known[:3]
    charge = pulses([2.0, 20.0, 60.0], known, crossing) + pulses([5.0, 5.0, 0.0], known) - known.pedestal_fc[:, None]
    fitted = MAHI.fit(charge, known)
    assert fitted.energy_gev == pytest.approx([5.0, 5.0, 0.0], rel=1e-5, abs=1e-5)
    other = fitted.amplitudes_fc[:, CROSSINGS.index(crossing)] * known.gain_gev
    assert other == pytest.approx([2.0, 20.0, 60.0], rel=1e-5)


@pytest.mark.parametrize(("energy", "width", "bias"), [(1.0, 0.25, 0.08), (10.0, 0.08, 0.03), (60.0, 0.05, 0.03)])
def test_energies_come_out_right_on_average(energy: float, width: float, bias: float, hcal_known: Conditions) -> None:
    number = 1000
    deposits = np.zeros((number, len(SIMULATED)))
    deposits[:, TRIGGERED] = energy
    codes = digitise(deposits, Beam(), hcal_known[:number], np.random.default_rng(8))
    fitted = MAHI.fit(Event(codes, deposits).charge_fc, hcal_known[:number])
    response = fitted.energy_gev / energy
    assert abs(np.median(response) - 1) < bias
    assert 0.005 < response.std() < width
    assert 1 < fitted.chi2.mean() < 10


def test_the_fit_knows_pile_up_from_the_charge_in_time(hcal_event: Event, hcal_known: Conditions) -> None:
    fitted = MAHI.fit(hcal_event.charge_fc, hcal_known)
    assert (fitted.flags[~hcal_event.saturated] != 0).mean() < 0.01
    hard = hcal_event.energy_gev > 0.5
    charge = hcal_event.charge_fc - hcal_known.pedestal_fc[:, None]
    summed = charge[:, IN_TIME : IN_TIME + 2].sum(axis=1) * hcal_known.gain_gev / PULSE.fractions(0)[3:5].sum()

    def miss(energy: np.ndarray) -> float:
        return float(np.percentile(np.abs(energy - hcal_event.energy_gev)[hard], 68))

    assert miss(fitted.energy_gev) < 0.9 * miss(summed)


def test_a_channel_is_fitted_the_same_to_the_bit_in_any_company(hcal_event: Event, hcal_known: Conditions) -> None:
    charge = hcal_event.charge_fc[:3000]
    together = MAHI.fit(charge, hcal_known[:3000])
    backwards = MAHI.fit(charge[::-1], hcal_known[:3000][::-1])
    assert all((a == b[::-1]).all() for a, b in zip(together, backwards, strict=True))
    one = MAHI.fit(charge[2500:2501], hcal_known[2500:2501])
    assert (one.amplitudes_fc[0] == together.amplitudes_fc[2500]).all()


def test_single_precision_is_as_good(hcal_event: Event, hcal_known: Conditions) -> None:
    charge, known = hcal_event.charge_fc[:4000], hcal_known[:4000]
    double, single = MAHI.fit(charge, known), Mahi(dtype="float32").fit(charge, known)
    assert single.energy_gev.dtype == single.chi2.dtype == np.float32
    apart = np.abs(single.energy_gev - double.energy_gev)
    assert np.percentile(apart, 99) < 0.005
    assert (single.flags & Flag.NOT_CONVERGED > 0).mean() < 0.02


def test_channels_that_cannot_be_fitted_say_so_and_leave_others_alone(hcal_known: Conditions) -> None:
    known = hcal_known[:6]
    charge = pulses([4.0] * 6, known)
    charge[1, 2] = np.nan
    charge[2] = 0
    charge[3, IN_TIME] = MAX_FC
    charge[4, 5] = np.inf
    fitted = MAHI.fit(charge, known)
    assert fitted.flags.tolist()[:3] == [0, Flag.INVALID, Flag.EMPTY]
    assert fitted.flags[3] & Flag.SATURATED
    assert fitted.flags.tolist()[4:] == [Flag.INVALID, 0]
    assert fitted.energy_gev[[0, 5]] == pytest.approx(4.0)
    assert np.isnan(fitted.energy_gev[[1, 4]]).all()
    assert np.isnan(fitted.chi2[[1, 4]]).all()
    assert np.isnan(fitted.amplitudes_fc[[1, 4]]).all()
    assert fitted.energy_gev[2] == fitted.chi2[2] == 0
    assert fitted.energy_gev[3] > 50


def test_conditions_that_make_no_sense_are_invalid(hcal_known: Conditions) -> None:
    known = Conditions(*(np.array(each) for each in ([90.0] * 3, [30.0, 0.0, 30.0], [5.0] * 3, [3e-4] * 3, [44.0] * 3)))
    known.gain_gev[2] = np.nan
    assert MAHI.fit(np.full((3, 8), 100.0), known).flags.tolist() == [0, Flag.INVALID, Flag.INVALID]


def test_no_channels_are_fitted_too(hcal_known: Conditions) -> None:
    fitted = MAHI.fit(np.zeros((0, 8)), hcal_known[:0])
    assert fitted.amplitudes_fc.shape == (0, len(CROSSINGS))
    assert fitted.energy_gev.shape == fitted.flags.shape == (0,)


def test_channels_below_the_pedestal_have_no_energy(hcal_known: Conditions) -> None:
    fitted = MAHI.fit(hcal_known.pedestal_fc[:50, None] - np.full(8, 40.0), hcal_known[:50])
    assert (fitted.energy_gev == 0).all()
    assert (fitted.chi2 > 1).all()


def test_one_round_does_not_settle(hcal_event: Event, hcal_known: Conditions) -> None:
    fitted = Mahi(max_rounds=1).fit(hcal_event.charge_fc[:100], hcal_known[:100])
    assert (fitted.flags & Flag.NOT_CONVERGED).all()
    assert np.isfinite(fitted.energy_gev).all()


def test_what_makes_no_sense_is_refused(hcal_known: Conditions) -> None:
    with pytest.raises(InvalidRequest, match=r"\[4, 8\], given \[4, 7\]"):
        MAHI.fit(np.zeros((4, 7)), hcal_known[:4])
    for crossings in ((-1, 1), (0, 0), (0, 9)):
        with pytest.raises(ConfigError, match="crossings"):
            Mahi(crossings=crossings)
    with pytest.raises(ConfigError, match="float16"):
        Mahi(dtype="float16")
    with pytest.raises(ConfigError, match="max_rounds"):
        Mahi(max_rounds=0)
    assert Mahi(crossings=(0,)).fit(pulses([3.0], hcal_known[:1]), hcal_known[:1]).energy_gev == pytest.approx(3.0)
