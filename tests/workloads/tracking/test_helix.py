from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL, Barrel
from sonic.workloads.tracking.helix import COT, QPT, cross, jacobian, kicks, perigee
from sonic.workloads.tracking.simulation import Beam, particles

TRACKS = particles(Beam(displaced=0.5), 300, np.random.default_rng(1))
RADII = (30.0, 460.0, 1000.0)


def _difference(high: np.ndarray, low: np.ndarray, step: float, angle: int | None = None) -> np.ndarray:
    difference = high - low
    if angle is not None:
        difference[angle] = wrap(difference[angle])
    return difference / (2 * step)


def test_a_straight_track() -> None:
    at = cross(np.array([[0.0], [5.0], [0.3], [2.0], [0.0]]), 100.0, BARREL)
    assert at.phi == pytest.approx(0.3)
    assert at.z_mm == pytest.approx(205)
    assert (at.turn == 0).all()
    assert at.path_mm == pytest.approx(100)


def test_a_positive_particle_turns_clockwise_on_its_circle() -> None:
    track = np.array([[0.0], [0.0], [0.0], [0.0], [1.0]])  # of 1 GeV
    radius_mm = 1 / BARREL.bend_gev_per_mm
    assert radius_mm == pytest.approx(1000 / (0.299792458 * 3.8))
    at = cross(track, 600.0, BARREL)
    x, y = 600 * np.cos(at.phi), 600 * np.sin(at.phi)
    assert np.hypot(x, y + radius_mm) == pytest.approx(radius_mm)
    assert at.phi < 0


@pytest.mark.parametrize("radius_mm", RADII)
def test_there_and_back(radius_mm: float) -> None:
    at = cross(TRACKS, radius_mm, BARREL)
    assert at.reached.all()
    back = perigee(np.full(300, radius_mm), at.phi, at.z_mm, at.psi, TRACKS[COT], TRACKS[QPT], BARREL)
    difference = back - TRACKS
    difference[2] = wrap(difference[2])
    assert np.abs(difference).max() < 1e-9


@pytest.mark.parametrize("radius_mm", RADII)
def test_derivatives_are_those_of_the_crossing(radius_mm: float) -> None:
    of_phi, of_z = jacobian(TRACKS, cross(TRACKS, radius_mm, BARREL), radius_mm, BARREL)
    for i, step in enumerate((1e-4, 1e-4, 1e-6, 1e-6, 1e-6)):
        shift = np.zeros((5, 1))
        shift[i] = step
        high, low = cross(TRACKS + shift, radius_mm, BARREL), cross(TRACKS - shift, radius_mm, BARREL)
        assert np.allclose(of_phi[i], wrap(high.phi - low.phi) / (2 * step), rtol=1e-4, atol=1e-7)
        assert np.allclose(of_z[i], (high.z_mm - low.z_mm) / (2 * step), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("radius_mm", RADII)
def test_kicks_change_the_direction_and_neither_point_nor_momentum(radius_mm: float) -> None:
    at, step, radius = cross(TRACKS, radius_mm, BARREL), 1e-6, np.full(300, radius_mm)
    by_psi, by_cot = kicks(TRACKS, at, radius_mm, BARREL)

    def kicked(psi: float = 0.0, cot: float = 0.0) -> np.ndarray:
        slope = TRACKS[COT] + cot
        qpt = TRACKS[QPT] * np.sqrt((1 + slope**2) / (1 + TRACKS[COT] ** 2))
        return perigee(radius, at.phi, at.z_mm, at.psi + psi, slope, qpt, BARREL)

    assert np.allclose(by_psi, _difference(kicked(psi=step), kicked(psi=-step), step, 2), rtol=1e-4, atol=1e-3)
    assert np.allclose(by_cot, _difference(kicked(cot=step), kicked(cot=-step), step, 2), rtol=1e-4, atol=1e-3)


def test_a_track_that_curls_up_does_not_reach() -> None:
    at = cross(np.array([[0.0], [0.0], [0.0], [0.0], [1 / 0.3]]), 1000.0, BARREL)  # 0.3 GeV
    assert not at.reached[0]
    assert np.isfinite(at.z_mm).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"thickness_x0": (0.01,)}, r"given \[2, 1, 2, 2\]"),
        ({"radii_mm": (30.0, 20.0)}, "from the inside out"),
        ({"radii_mm": (0.0, 20.0)}, "above 0"),
    ],
)
def test_a_barrel_that_makes_no_sense(changes: dict[str, tuple[float, ...]], said: str) -> None:
    two = {
        "radii_mm": (30.0, 60.0),
        "thickness_x0": (0.01,) * 2,
        "rphi_resolution_mm": (0.01,) * 2,
        "z_resolution_mm": (0.01,) * 2,
    }
    with pytest.raises(ConfigError, match=said):
        Barrel(**{**two, **changes}, half_length_mm=100.0, field_t=1.0)
