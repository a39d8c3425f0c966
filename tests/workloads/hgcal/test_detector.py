from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.hgcal.detector import ENDCAP


def test_a_place_is_in_the_cell_whose_centre_is_nearest():
    x_cm, y_cm = np.random.default_rng(1).uniform(-20, 20, (2, 500))
    cells = ENDCAP.cells(x_cm, y_cm)
    x_centre, y_centre = ENDCAP.centres(cells)
    own = np.hypot(x_cm - x_centre, y_cm - y_centre)
    assert own.max() <= ENDCAP.cell_cm / np.sqrt(3) + 1e-9  # a corner
    for step in ((1, 0), (0, 1), (-1, 1)):
        for sign in (1, -1):
            x_other, y_other = ENDCAP.centres(cells + sign * np.array(step)[:, None])
            assert np.hypot(x_other - x_centre, y_other - y_centre) == pytest.approx(ENDCAP.cell_cm)
            assert (np.hypot(x_cm - x_other, y_cm - y_other) >= own - 1e-9).all()


def test_a_cell_is_found_again_from_its_centre():
    cells = np.random.default_rng(2).integers(-300, 300, (2, 200))
    assert np.array_equal(ENDCAP.cells(*ENDCAP.centres(cells)), cells)


def test_its_depth_is_that_of_the_real_one():
    assert len(ENDCAP) == 50
    assert ENDCAP.depth_x0[ENDCAP.electromagnetic - 1] == pytest.approx(26, abs=1)
    assert 9 < ENDCAP.depth_lambda[-1] < 11
    assert ENDCAP.weights[0] == 1
    assert ENDCAP.weights[-1] > ENDCAP.weights[30] > 2


def test_layers_are_described_alike_and_in_order():
    with pytest.raises(ConfigError, match=r"given \[50, 49, 50\]"):
        replace(ENDCAP, thickness_x0=ENDCAP.thickness_x0[1:])
    with pytest.raises(ConfigError, match=r"from the front at 321\.0 cm"):
        replace(ENDCAP, z_cm=ENDCAP.z_cm[::-1])
