from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.figures import auc
from sonic.workloads.toptag.images import Constituents
from sonic.workloads.toptag.substructure import score, substructure

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeJets = Callable[..., Constituents]


def test_three_prongs_look_like_three(make_jets: MakeJets):
    pytest.importorskip("fastjet")
    found = {n: substructure(make_jets(20, n, seed=n), np.linspace(-1, 1, 20)) for n in (1, 2, 3)}
    ratio = {n: np.median(got.tau3 / got.tau2) for n, got in found.items()}
    assert ratio[3] < 0.3 < 0.6 < ratio[1]
    assert np.median(found[2].tau2 / found[2].tau1) < 0.3
    mass = {n: np.median(got.mass_gev) for n, got in found.items()}
    assert mass[1] < 50 < 100 < mass[2]
    # The mass of massless particles is what it is, at whatever eta: 2 pt1 pt2 (cosh deta - cos dphi).
    two = Constituents(
        np.array([3]), np.array([50.0, 50.0, 1e-9]), np.array([0.2, -0.2, 0.0]), np.zeros(3), np.ones(3, bool)
    )
    got = substructure(two, np.array([1.3]))
    assert got.mass_gev[0] == pytest.approx(np.sqrt(2 * 2500 * (np.cosh(0.4) - 1)), rel=1e-4)


def test_jets_of_few_particles_have_none(make_jets: MakeJets):
    pytest.importorskip("fastjet")
    few = Constituents(np.array([2, 0]), np.ones(2), np.zeros(2), np.zeros(2), np.ones(2, bool))
    assert all(np.isnan(column).all() for column in substructure(few, np.zeros(2)))


def test_the_window_goes_before_the_cut():
    mass, two, three = [170.0, 170.0, 60.0, 60.0], [1.0] * 4, [0.3, 0.9, 0.1, 0.5]
    found = score(mass, two, three)
    assert found == pytest.approx([0.7, 0.1, -0.1, -0.5])
    assert auc(found[:2], found[2:]) == 1


def test_what_is_no_number_scores_last():
    assert score([np.nan, 170.0, 170.0], [1.0, np.nan, 0.0], [0.5, 0.5, 0.0]).tolist() == [-1.0, -1.0, -1.0]
