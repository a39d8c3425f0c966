from __future__ import annotations

import numpy as np
import pytest

from sonic.workloads.hcal.pulse import (
    CROSSINGS,
    IN_TIME,
    MAX_FC,
    PULSE,
    SATURATED,
    SLICES,
    code_width_fc,
    decode,
    encode,
)


def test_a_pulse_begins_in_its_slice_and_keeps_its_charge() -> None:
    in_time = PULSE.fractions(0)
    assert in_time.shape == (SLICES,)
    assert (in_time[:IN_TIME] == 0).all()
    assert 0.55 < in_time[IN_TIME] < 0.7
    assert 0.25 < in_time[IN_TIME + 1] < 0.4
    assert in_time.sum() == pytest.approx(1, abs=1e-3)


def test_a_pulse_of_another_crossing_is_the_same_one_moved() -> None:
    pulses = PULSE.fractions(CROSSINGS)
    assert pulses.shape == (len(CROSSINGS), SLICES)
    for crossing, pulse in zip(CROSSINGS, pulses, strict=True):
        begin = IN_TIME + crossing
        assert (pulse[:begin] == 0).all()
        assert pulse[begin:] == pytest.approx(PULSE.fractions(-IN_TIME)[: SLICES - begin], abs=1e-12)


def test_a_later_pulse_leaves_more_in_later_slices() -> None:
    late = PULSE.fractions([0, 0], [0.0, 3.0])
    assert late[1, IN_TIME] < late[0, IN_TIME]
    assert late[1, IN_TIME + 1] > late[0, IN_TIME + 1]
    assert PULSE.fractions(0, 25.0) == pytest.approx(PULSE.fractions(1), abs=1e-12)


def test_codes_stand_for_charges_within_half_a_step() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert (encode(decode(codes)) == codes).all()
    charges = np.geomspace(1.0, 0.98 * MAX_FC, 5000)
    assert (np.abs(decode(encode(charges)) - charges) <= 0.5 * code_width_fc(charges) * (1 + 1e-9)).all()
    assert (code_width_fc(charges[charges > 100]) / charges[charges > 100] < 0.13).all()


def test_charges_beyond_the_ends_have_the_ends_codes() -> None:
    assert encode([-500.0, 0.0]).tolist() == [0, 0]
    assert encode([MAX_FC, 10 * MAX_FC, np.inf]).tolist() == [SATURATED] * 3
    assert decode(np.array([SATURATED], np.uint8))[0] == MAX_FC
