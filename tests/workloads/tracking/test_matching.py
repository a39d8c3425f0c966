from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.tracking.matching import by_pt, match
from sonic.workloads.tracking.simulation import Event

# Particles 0 (8 hits), 1 (6 hits), 2 (2 hits), and two hits of noise.
PARTICLE = np.array([0] * 8 + [1] * 6 + [2] * 2 + [-1] * 2)
EVENT = Event(
    np.zeros(18, np.int64), np.zeros(18), np.zeros(18), PARTICLE, np.array([[0.0] * 3] * 4 + [[1.0, -0.5, 0.1]])
)


def _tracks(*rows: list[int]) -> np.ndarray:
    return np.array([row + [-1] * (8 - len(row)) for row in rows]).reshape(-1, 8)


def test_tracks_are_of_whose_hits_they_are() -> None:
    matched = match(EVENT, _tracks([0, 1, 2, 3, 4, 5], [8, 9, 10, 16], [8, 9, 0, 1], [16, 17], [6, 7]))
    assert matched.particle.tolist() == [0, 1, -1, -1, 0]
    assert matched.again.tolist() == [False] * 4 + [True]
    assert matched.findable.tolist() == [True, True, False]
    assert matched.found.tolist() == [True, True, False]
    assert matched.efficiency == 1
    assert matched.fake_rate == pytest.approx(0.4)
    assert matched.pt_gev == pytest.approx([1, 2, 10])


def test_no_tracks_and_no_particles() -> None:
    matched = match(EVENT, _tracks())
    assert matched.efficiency == 0
    assert np.isnan(matched.fake_rate)
    empty = Event(*(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros((5, 0))))
    assert np.isnan(match(empty, _tracks()).efficiency)


def test_efficiency_by_pt() -> None:
    rows = [match(EVENT, _tracks(list(range(8)))), match(EVENT, _tracks(list(range(8)), list(range(8, 14))))]
    efficiency, errors = by_pt(rows, np.array([0.5, 1.5, 3.0, 20.0]))
    assert efficiency[:2].tolist() == [1, 0.5]
    assert np.isnan(efficiency[2])
    assert errors.shape == (2, 3)
    assert errors[0, 0] > 0.2  # though two of two were found
    assert errors[1, 0] == 0
    assert errors[0, 1] == pytest.approx(errors[1, 1])
    assert np.isnan(errors[:, 2]).all()
    assert np.isnan(by_pt([], np.array([0.5, 1.5]))[0]).all()
