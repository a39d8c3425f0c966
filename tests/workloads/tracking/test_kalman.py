from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import PHI
from sonic.workloads.tracking.kalman import fit
from sonic.workloads.tracking.simulation import Beam, particles, pass_through

if TYPE_CHECKING:
    from sonic.workloads.tracking.kalman import Fitted


def _sample(number: int, seed: int, beam: Beam | None = None) -> tuple[np.ndarray, np.ndarray]:
    random, beam = np.random.default_rng(seed), beam or Beam()
    tracks = particles(beam, number, random)
    return tracks, pass_through(tracks, beam, random)


def _pulls(fitted: Fitted, tracks: np.ndarray) -> np.ndarray:
    difference = fitted.parameters - tracks.T
    difference[:, PHI] = wrap(difference[:, PHI])
    return (difference / np.sqrt(np.diagonal(fitted.covariance, axis1=1, axis2=2)))[fitted.good]


def test_pulls_have_width_one() -> None:
    """The figure: 1.00 +- 0.05. Of 10,000 tracks the statistical error of a width is 0.007."""
    tracks, hits = _sample(10_000, seed=11)
    fitted = fit(hits)
    pulls = _pulls(fitted, tracks)
    assert fitted.good.mean() > 0.999
    assert np.abs(pulls.std(axis=0) - 1).max() < 0.05
    assert np.abs(pulls.mean(axis=0)).max() < 0.05
    assert fitted.chi2[fitted.good].sum() / fitted.degrees_of_freedom.sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("beam", [Beam(min_pt_gev=0.7, max_pt_gev=1.0), Beam(min_pt_gev=10.0), Beam(efficiency=0.7)])
def test_pulls_of_slow_fast_and_holey_tracks(beam: Beam) -> None:
    tracks, hits = _sample(4000, seed=12, beam=beam)
    fitted = fit(hits)
    assert np.abs(_pulls(fitted, tracks).std(axis=0) - 1).max() < 0.06


def test_material_that_is_left_out_is_missed() -> None:
    """So the pulls can tell."""
    tracks, hits = _sample(2000, seed=13, beam=Beam(scattering=False))
    assert _pulls(fit(hits), tracks).std(axis=0).max() < 0.8


def test_exact_hits_give_the_track_back() -> None:
    tracks = particles(Beam(displaced=0.5), 100, np.random.default_rng(14))
    from sonic.workloads.tracking.helix import cross

    crossings = [cross(tracks, radius_mm, BARREL) for radius_mm in BARREL.radii_mm]
    hits = np.stack([np.stack([at.phi, at.z_mm], axis=1) for at in crossings], axis=1)
    fitted = fit(hits)
    difference = fitted.parameters - tracks.T
    difference[:, PHI] = wrap(difference[:, PHI])
    assert np.abs(difference).max() < 1e-4
    assert fitted.chi2.max() < 1e-4


def test_a_track_does_not_depend_on_its_company() -> None:
    _, hits = _sample(3000, seed=15)
    whole = fit(hits)
    for start, stop in ((0, 1), (7, 9), (100, 133), (2000, 2999)):
        for one, part in zip(whole, fit(hits[start:stop]), strict=True):
            assert one[start:stop].tobytes() == part.tobytes()


def test_too_few_hits_and_hits_that_are_none() -> None:
    _, hits = _sample(8, seed=16, beam=Beam(efficiency=1.0))
    hits[0] = np.nan  # nothing
    hits[1, 1:] = np.nan  # one hit
    hits[2, 2:] = np.nan  # two
    hits[3, 3:] = np.nan  # three are enough
    hits[4, :, 0] = np.nan  # half a hit is none
    hits[5, 4] = np.inf, 3.0  # and is left out
    hits[6, 4, 1] = np.nan
    fitted = fit(hits)
    assert fitted.good.tolist() == [False, False, False, True, False, True, True, True]
    assert fitted.degrees_of_freedom.tolist() == [0, 0, 0, 1, 0, 13, 13, 15]
    for array in (fitted.parameters, fitted.covariance, fitted.chi2):
        assert np.isnan(array[~fitted.good]).all()
        assert np.isfinite(array[fitted.good]).all()


def test_hits_of_no_track() -> None:
    random = np.random.default_rng(17)
    hits = np.stack([random.uniform(-np.pi, np.pi, (50, 10)), random.uniform(-1e3, 1e3, (50, 10))], axis=2)
    hits[0, ::2], hits[0, 1::2] = 1e300, -1e300
    fitted = fit(hits)
    assert np.isnan(fitted.parameters[~fitted.good]).all()
    assert (fitted.chi2[fitted.good] > 1000).all()


def test_no_tracks() -> None:
    fitted = fit(np.empty((0, len(BARREL), 2)))
    assert fitted.parameters.shape == (0, 5)
    assert fitted.covariance.shape == (0, 5, 5)


@pytest.mark.parametrize("shape", [(3, 10), (3, 9, 2), (3, 10, 3)])
def test_hits_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match=r"expected hits of shape \[tracks, 10, 2\], given"):
        fit(np.zeros(shape))
