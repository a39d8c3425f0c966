from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.hcal.pulse import PULSE
from sonic.workloads.hcal.sums import energy

if TYPE_CHECKING:
    from sonic.workloads.hcal.simulation import Conditions


def test_a_pulse_alone_gives_its_energy_and_another_adds_to_it(hcal_known: Conditions) -> None:
    known = hcal_known[:2]
    charge = 8 * PULSE.fractions(0) / known.gain_gev[:, None]
    charge[1] += 6 * PULSE.fractions(-1) / known.gain_gev[1]
    found = energy(charge + known.pedestal_fc[:, None], known)
    assert found[0] == pytest.approx(8)
    assert 9 < found[1] < 14


def test_nothing_is_nothing_and_less_is_negative(hcal_known: Conditions) -> None:
    known = hcal_known[:3]
    assert energy(np.repeat(known.pedestal_fc[:, None], 8, axis=1), known) == pytest.approx(0)
    assert (energy(np.zeros((3, 8)), known) < 0).all()
    assert np.isnan(energy(np.full((3, 8), np.nan), known)).all()


def test_another_shape_is_refused(hcal_known: Conditions) -> None:
    with pytest.raises(InvalidRequest, match=r"\[3, 8\], given \[3, 6\]"):
        energy(np.zeros((3, 6)), hcal_known[:3])
