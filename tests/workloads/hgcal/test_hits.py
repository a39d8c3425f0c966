from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.hits import Hits

NAN = float("nan")


def test_hits_that_make_no_sense_cannot_be_used():
    layer = np.array([0, 0, 0, 0, -1, 50, 49])
    energy = np.array([1.0, NAN, np.inf, 0.0, 1.0, 1.0, 1.0])
    x_cm = np.array([1.0, 1, 1, 1, 1, 1, NAN])
    hits = Hits(layer, x_cm, np.ones(7), energy)
    assert hits.usable().tolist() == [True, False, False, False, False, False, False]
    assert len(hits.chosen(hits.usable()).layer) == 1


def test_a_line_from_the_origin_enters_the_front_in_one_place():
    layer = np.arange(50)
    z_cm = np.asarray(ENDCAP.z_cm)
    u, v = Hits(layer, 0.1 * z_cm, -0.2 * z_cm, np.ones(50)).projected()
    assert u == pytest.approx(np.full(50, 0.1 * ENDCAP.front_cm))
    assert v == pytest.approx(np.full(50, -0.2 * ENDCAP.front_cm))


def test_a_thicker_absorber_stands_for_more():
    hits = Hits(np.array([0, 49]), np.zeros(2), np.zeros(2), np.ones(2))
    assert hits.weighted().tolist() == [1.0, pytest.approx(9.5 * 0.5 / 0.93)]
