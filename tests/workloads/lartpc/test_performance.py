from __future__ import annotations

import numpy as np
import pytest

from sonic.framework.module import add
from sonic.workloads.figures import auc
from sonic.workloads.lartpc.particles import EM, NONE, TRACK
from sonic.workloads.lartpc.performance import BINS, best_michel_cut, figures, sums

KIND = np.array([TRACK, TRACK, TRACK, EM, EM, NONE])
MICHEL = np.array([False, False, False, True, False, False])
SCORES = np.array(
    [[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.1, 0.9, 0.0], [0.6, 0.4, 0.0], [0.0, 0.1, 0.9]]
)
ONE = np.array([0.1, 0.0, 0.3, 0.8, 0.2, 0.0])
STRAIGHT = np.array([1.0, 0.9, 0.8, 0.3, 0.7, 0.0])
ORDINARY = np.array([TRACK, TRACK, TRACK, EM, TRACK, NONE])


def counted(which: slice = slice(None)) -> dict[str, np.ndarray]:
    return sums(KIND[which], MICHEL[which], SCORES[which], ONE[which], STRAIGHT[which], ORDINARY[which])


def test_figures_are_those_of_the_hits() -> None:
    found = figures(counted(), 0.5)
    assert found["efficiency track"] == found["purity track"] == pytest.approx(2 / 3)
    assert found["efficiency em"] == found["purity em"] == 0.5
    assert found["efficiency track, straightness"] == 1
    assert found["purity track, straightness"] == 0.75
    assert found["efficiency michel"] == found["purity michel"] == found["AUC michel"] == 1
    assert found["AUC track against em"] == pytest.approx(auc(SCORES[:3, 0], SCORES[3:5, 0]))
    assert found["AUC track against em, straightness"] == 1
    assert found["AUC em"] == pytest.approx(auc(SCORES[3:5, 1], SCORES[[0, 1, 2, 5], 1]))


def test_sums_add_up() -> None:
    whole, parts = counted(), add(counted(slice(2)), counted(slice(2, None)))
    assert whole.keys() == parts.keys()
    assert all((whole[name] == parts[name]).all() for name in whole)
    assert whole["track"].shape == (3, BINS)


def test_figures_without_hits_are_left_out() -> None:
    found = figures(counted(slice(2)), 0.5)
    assert found["efficiency track"] == 1
    assert "efficiency em" not in found
    assert "AUC michel" not in found
    assert figures(counted(slice(0)), 0.5) == {}


def test_the_cut_is_where_michel_hits_are_told_apart_best() -> None:
    cut = best_michel_cut(counted())
    assert 0.3 < cut <= 0.8
    assert figures(counted(), cut)["purity michel"] == figures(counted(), cut)["efficiency michel"] == 1
    assert best_michel_cut(counted(slice(2))) == 0.5
