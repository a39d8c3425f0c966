from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import COT, D0, QPT, cross
from sonic.workloads.tracking.simulation import Beam, event, events, particles, pass_through

PLAIN = Beam(particles=200, scattering=False, efficiency=1.0, noise=0.0)


def test_a_seed_gives_the_same_events() -> None:
    one, two, other = events(2, seed=5), events(2, seed=5), events(2, seed=6)
    for a, b in zip(one, two, strict=True):
        assert (a.phi == b.phi).all()
        assert (a.tracks == b.tracks).all()
    assert not np.array_equal(one[0].tracks, one[1].tracks)
    assert not np.array_equal(one[0].tracks, other[0].tracks)


def test_hits_lie_on_the_true_tracks_within_the_resolution() -> None:
    made = event(PLAIN, np.random.default_rng(1))
    assert len(made) == 200 * len(BARREL)
    for layer, radius_mm in enumerate(BARREL.radii_mm):
        on = made.layer == layer
        at = cross(made.tracks[:, made.particle[on]], radius_mm, BARREL)
        miss_mm = radius_mm * wrap(made.phi[on] - at.phi)
        assert 0.8 < np.std(miss_mm) / BARREL.rphi_resolution_mm[layer] < 1.2
        assert 0.8 < np.std(made.z_mm[on] - at.z_mm) / BARREL.z_resolution_mm[layer] < 1.2


def test_material_scatters_slow_particles_more() -> None:
    random = np.random.default_rng(2)
    widths = []
    for pt in (0.8, 8.0):
        beam = Beam(min_pt_gev=pt, max_pt_gev=1.01 * pt, efficiency=1.0)
        tracks = particles(beam, 500, random)
        miss = wrap(pass_through(tracks, beam, random)[:, -1, 0] - cross(tracks, 1000.0, BARREL).phi)
        widths.append(np.nanstd(miss))
    assert 5 < widths[0] / widths[1] < 15


def test_noise_and_inefficiency() -> None:
    made = event(Beam(particles=400, efficiency=0.9, noise=0.2), np.random.default_rng(3))
    of_particles = (made.particle >= 0).sum()
    assert 0.87 < of_particles / (400 * len(BARREL)) < 0.92
    assert 0.15 < (made.particle < 0).sum() / of_particles < 0.25
    assert np.abs(made.z_mm).max() < BARREL.half_length_mm


def test_particles_are_what_was_asked_for() -> None:
    beam = Beam(displaced=0.3)
    tracks = particles(beam, 5000, np.random.default_rng(4))
    pt = 1 / np.abs(tracks[QPT])
    assert beam.min_pt_gev < pt.min() < pt.max() < beam.max_pt_gev
    assert np.abs(np.arcsinh(tracks[COT])).max() <= beam.max_eta
    assert 0.25 < (np.abs(tracks[D0]) > 1e-9).mean() < 0.35
    assert 0.45 < (tracks[QPT] > 0).mean() < 0.55


def test_no_particles_are_an_empty_event() -> None:
    made = event(Beam(particles=0), np.random.default_rng(5))
    assert len(made) == 0
    assert made.tracks.shape == (5, 0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"particles": -1}, "particles, jets"),
        ({"efficiency": 1.1}, "efficiency lies in"),
        ({"min_pt_gev": 0.0}, "momenta have 0 < min_pt_gev"),
        ({"min_pt_gev": 5.0, "max_pt_gev": 1.0}, "momenta have 0 < min_pt_gev"),
        ({"pt_power": 1.0}, "pt_power > 1"),
        ({"decay_mm": -1.0}, "decay_mm are 0 or more"),
        ({"displaced": 2.0}, "displaced in"),
    ],
)
def test_beams_that_make_no_sense(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Beam(**wrong)  # type: ignore[arg-type]


def test_jets_are_narrow_and_come_on_top_of_the_particles() -> None:
    beam = Beam(particles=20, jets=30, jet_particles=8)
    made = event(beam, np.random.default_rng(6))
    assert made.tracks.shape == (5, 20 + 30 * 8)
    assert (made.tracks[:, :20] == event(Beam(particles=20), np.random.default_rng(6)).tracks).all()
    _, z0, psi, cot, qpt = made.tracks[:, 20:].reshape(5, 30, 8)
    assert (z0 == z0[:, :1]).all()
    assert np.abs(np.arcsinh(cot)).max() <= beam.max_eta
    pt = 1 / np.abs(qpt)
    assert 5 <= pt.min() < pt.max() <= 100
    near = np.ptp(psi, axis=1) < 1  # not over the cut at pi
    assert near.sum() > 20
    across = (pt * (psi - np.median(psi, axis=1, keepdims=True)))[near]
    assert 0.2 < np.std(across) < 0.5
