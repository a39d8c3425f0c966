from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.features import NAMES, inputs
from sonic.workloads.hgcal.hits import Hits

if TYPE_CHECKING:
    from sonic.workloads.hgcal.simulation import Event


def test_rows_are_of_the_order_of_one(showers: list[Event]):
    rows = inputs(showers[0].hits)
    assert rows.shape == (len(showers[0]), len(NAMES))
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert 0.1 < np.abs(rows).max() < 10
    assert rows[:, 1:3].mean(axis=0) == pytest.approx([0, 0], abs=1e-5)


def test_the_hits_of_one_line_stand_above_each_other():
    layer = np.arange(50)
    z_cm = np.asarray(ENDCAP.z_cm)
    rows = inputs(Hits(layer, 0.3 * z_cm, 0.1 * z_cm, np.ones(50)))
    assert rows[:, 1:3] == pytest.approx(0, abs=1e-6)
    assert np.diff(rows[:, 3]).min() > 0
    assert np.ptp(rows[:, 4]) < 1e-6


def test_no_hits_and_one():
    nothing = np.empty(0)
    assert inputs(Hits(nothing.astype(int), nothing, nothing, nothing)).shape == (0, 5)
    one = inputs(Hits(np.array([3]), np.array([40.0]), np.array([0.0]), np.array([2.0])))
    assert one[0, :3].tolist() == [np.float32(np.log(3)), 0, 0]
