from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.showers import CHARGED, ELECTRON, MIP_PER_GEV, NEUTRAL, PHOTON, Axes, spots

if TYPE_CHECKING:
    from sonic.workloads.hgcal.showers import Spots


def shower(kind: int, energy_gev: float, number: int = 200) -> Spots:
    at = np.zeros(number)
    axes = Axes(np.full(number, kind), np.full(number, energy_gev), at + 50, at + 30)
    return spots(axes, np.random.default_rng(5), ENDCAP)


def visible(made: Spots, number: int = 200) -> np.ndarray:
    return np.bincount(made.particle, made.energy_mip * ENDCAP.weights[made.layer], number) / MIP_PER_GEV


@pytest.mark.parametrize("kind", [PHOTON, ELECTRON])
def test_electromagnetic_showers_have_the_resolution_of_the_prototype(kind: int):
    for energy_gev in (5.0, 50.0):
        seen = visible(shower(kind, energy_gev)) / energy_gev
        assert seen.mean() == pytest.approx(1, abs=0.03)
        assert seen.std() * np.sqrt(energy_gev) == pytest.approx(0.22, abs=0.05)


def test_hadrons_show_less_and_vary_more():
    seen = visible(shower(CHARGED, 20.0)) / 20
    assert 0.7 < np.median(seen) < 0.95
    assert 0.5 < seen.std() * np.sqrt(20) / seen.mean() < 1.5


def test_electromagnetic_showers_begin_at_the_front_and_hadronic_ones_anywhere():
    behind = {}
    for kind in (PHOTON, CHARGED):
        made = shower(kind, 30.0)
        weighted = made.energy_mip * ENDCAP.weights[made.layer]
        behind[kind] = weighted[made.layer >= ENDCAP.electromagnetic].sum() / weighted.sum()
    assert behind[PHOTON] < 0.03
    assert behind[CHARGED] > 0.3


def test_larger_energies_reach_deeper():
    means = []
    for energy_gev in (3.0, 30.0, 300.0):
        made = shower(ELECTRON, energy_gev, 50)
        means.append(np.average(made.layer, weights=made.energy_mip))
    assert np.diff(means).min() > 1


def test_showers_are_narrow_around_their_axes():
    radii = {}
    for kind in (PHOTON, NEUTRAL):
        made = shower(kind, 20.0)
        scale = ENDCAP.front_cm / np.asarray(ENDCAP.z_cm)[made.layer]
        away = np.hypot(made.x_cm * scale - 50, made.y_cm * scale - 30)
        order = np.argsort(away)
        radii[kind] = away[order][np.searchsorted(np.cumsum(made.energy_mip[order]), 0.9 * made.energy_mip.sum())]
    assert 1.5 < radii[PHOTON] < 3.5
    assert 1.5 * radii[PHOTON] < radii[NEUTRAL] < 10


def test_only_charged_particles_leave_a_track():
    first = {}
    for kind in (CHARGED, NEUTRAL):
        made = shower(kind, 10.0)
        first[kind] = np.isin(np.arange(200), made.particle[made.layer == 0])
    assert first[CHARGED].mean() > 0.95
    assert first[NEUTRAL].mean() < 0.2


def test_no_particles_make_no_spots():
    nothing = np.empty(0)
    made = spots(Axes(nothing.astype(int), nothing, nothing, nothing), np.random.default_rng(1), ENDCAP)
    assert len(made.layer) == 0
