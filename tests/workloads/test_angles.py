from __future__ import annotations

import awkward as ak
import numpy as np

from sonic.workloads.angles import wrap


def test_angles_come_back_into_the_circle() -> None:
    turns = np.arange(-3, 4)[:, None]
    angles = np.array([-np.pi, -1.0, 0.0, 2.5])
    assert np.allclose(wrap(angles + 2 * np.pi * turns), angles, atol=1e-12)
    assert wrap(np.pi) == -np.pi
    assert 0 < wrap(np.nextafter(-np.pi, -4.0)) < np.pi
    assert wrap(1e-9) == 1e-9
    assert wrap(ak.Array([[4.0], [], [-4.0]])).to_list() == [[wrap(4.0)], [], [wrap(-4.0)]]
