from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")

from sonic.firmware.fromonnx import read
from sonic.firmware.numbers import Fixed
from sonic.firmware.physics import resolutions
from sonic.firmware.precision import Precision
from sonic.workloads import MODELS
from sonic.workloads.hcal.sample import JETS, rows


def test_few_bits_are_enough_for_the_calorimeter() -> None:
    network = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile")
    assert network.normalisation is not None
    raw = rows(1)
    assert raw.max() > 30_000
    assert np.abs(network.prepare(raw)).max() < 128  # which eight bits hold
    numbers = {
        "float": None,
        "by range": Precision.uniform(Fixed(20, 12, rounding="RND")),
        "narrow": Precision(input=Fixed(8, 6)),
    }
    found = resolutions(network, numbers, events=1, beam=replace(JETS, jets=60), edges_gev=(2.0, 8.0, 32.0))
    assert (found["float"].number > 50).all()
    assert found["by range"].width == pytest.approx(found["float"].width, rel=0.1)
    assert (found["narrow"].width > 1.2 * found["float"].width).all()
