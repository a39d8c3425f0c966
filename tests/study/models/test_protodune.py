"""The numbers of arXiv:2009.04509."""

from __future__ import annotations

import numpy as np
import pytest

from sonic.study.models.protodune import ProtoDune, jobs_per_server
from sonic.study.published import study

INPUTS = study("protodune").inputs


def paper(gpu_s: float) -> ProtoDune:
    names = ("cpu_s", "offloaded_part", "transmit_s", "travel_s")
    return ProtoDune(gpu_s=gpu_s, **{name: INPUTS[name] for name in names})


def test_the_published_numbers() -> None:
    assert round(paper(INPUTS["gpu_s"]).jobs_per_gpu, 1) == 68.9
    assert round(paper(INPUTS["gpu_s_without_batching"]).jobs_per_gpu, 1) == 44.7
    assert round(paper(INPUTS["gpu_s"]).speed_up, 2) == 2.71


def test_jobs_wait_only_beyond_saturation() -> None:
    model = paper(1.77)
    np.testing.assert_allclose(model.module_s([1, 68], 1), 1.77 + 4.65)
    np.testing.assert_allclose(np.diff(model.module_s([300, 304], 4)), 1.77)
    assert model.event_s(68) == pytest.approx(model.ideal_s)
    assert model.cpu_s / model.event_s(1) == pytest.approx(model.speed_up)


def test_jobs_per_server() -> None:
    assert jobs_per_server(3200.0, 5.0, 4.0) == 160
