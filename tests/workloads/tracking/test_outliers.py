from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.tracking.finder import Search, find, passed, points
from sonic.workloads.tracking.kalman import fit
from sonic.workloads.tracking.outliers import without_outliers
from sonic.workloads.tracking.simulation import Beam, events

if TYPE_CHECKING:
    from sonic.workloads.tracking.simulation import Event


@pytest.fixture(scope="module")
def event() -> Event:
    return events(1, Beam(particles=30, efficiency=1.0, noise=0.0), seed=91)[0]


@pytest.fixture(scope="module")
def tracks(event: Event) -> np.ndarray:
    hits = find(event.layer, event.phi, event.z_mm).hits
    return hits[(hits >= 0).all(axis=1)]


def _good(event: Event, hits: np.ndarray) -> np.ndarray:
    fitted = fit(points(hits, event.phi, event.z_mm))
    return passed(fitted.good, fitted.chi2, fitted.degrees_of_freedom)


@pytest.mark.parametrize("wrong", [(4,), (0, 7)])
def test_the_hits_of_others_are_taken_away(event: Event, tracks: np.ndarray, wrong: tuple[int, ...]) -> None:
    assert len(tracks) > 20
    mixed = tracks.copy()
    mixed[::2, wrong] = np.roll(tracks, 1, axis=0)[::2][:, wrong]
    assert not _good(event, mixed)[::2].any()
    cleaned = without_outliers(mixed, event.phi, event.z_mm)
    assert (cleaned[1::2] == tracks[1::2]).all()
    assert (cleaned[::2, wrong] < 0).all(axis=1).mean() > 0.8
    assert _good(event, cleaned).mean() > 0.9
    assert ((cleaned == mixed) | (cleaned < 0)).all()


def test_no_track_becomes_shorter_than_allowed(event: Event, tracks: np.ndarray) -> None:
    random = np.random.default_rng(1)
    nonsense = np.stack([random.permutation(column) for column in tracks.T], axis=1)
    nonsense[:, 7:] = -1
    assert ((without_outliers(nonsense, event.phi, event.z_mm) >= 0).sum(axis=1) == 6).all()
    kept = without_outliers(nonsense, event.phi, event.z_mm, Search(min_hits=7))
    assert (kept == nonsense).all()


def test_no_tracks_and_hits_without_a_place(event: Event, tracks: np.ndarray) -> None:
    assert without_outliers(tracks[:0], event.phi, event.z_mm).shape == (0, 10)
    lost = np.full(len(event), np.nan)
    assert without_outliers(tracks, lost, lost).shape == tracks.shape
