from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.resolution import resolution


def test_bias_and_width_are_those_of_what_was_found() -> None:
    random = np.random.default_rng(1)
    true = np.geomspace(1.0, 4.0, 20_001)[:-1]
    found = true * np.where(true < 2, 1.1, 0.8) * random.normal(1, np.where(true < 2, 0.2, 0.05))
    bias, width = resolution(true, found, (1.0, 2.0, 4.0))[1:3]
    assert bias == pytest.approx([0.1, -0.2], abs=0.01)
    assert width == pytest.approx([0.22, 0.04], rel=0.05)


def test_bins_with_too_few_channels_are_empty() -> None:
    true = np.array([1.5] * 12 + [3.0] * 9 + [0.1, 9.0])
    found = true.copy()
    found[0] = np.nan
    made = resolution(true, found, (1.0, 2.0, 4.0))
    assert made.number.tolist() == [11, 9]
    assert made.energy_gev[0] == 1.5
    assert made.bias[0] == made.width[0] == 0
    assert np.isnan([made.energy_gev[1], made.bias[1], made.width[1]]).all()
    assert resolution(true[:0], found[:0]).number.sum() == 0


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"given \[3\] and \[2\]"):
        resolution(np.ones(3), np.ones(2))
    for edges in ((1.0,), (0.0, 1.0), (2.0, 1.0)):
        with pytest.raises(InvalidRequest, match="rising edges"):
            resolution(np.ones(3), np.ones(3), edges)
