"""Laws of one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.study.models.protodune import ProtoDune
from sonic.study.models.simple import amdahl, bounds, scalability

CLIENTS = np.array([1.0, 2, 4, 8, 16, 32, 64])


@given(st.integers(1, 500), st.integers(1, 8))
def test_bounds_are_protodunes_formula(jobs: int, gpus: int) -> None:
    paper = ProtoDune(cpu_s=330, offloaded_part=0.65, gpu_s=1.77, transmit_s=2.05, travel_s=2.6)
    (rate,) = bounds().predict(np.array([jobs]), np.array([paper.ideal_s, paper.gpu_s / gpus]))
    assert rate == pytest.approx(jobs / float(paper.event_s(jobs, gpus)))


def test_the_universal_law_without_coherency_is_amdahls() -> None:
    np.testing.assert_allclose(
        scalability().predict(CLIENTS, np.array([50.0, 0.1, 0.0])), amdahl().predict(CLIENTS, np.array([50.0, 0.1]))
    )
    assert scalability().capacity(np.array([50.0, 0.1, 0.0])) == amdahl().capacity(np.array([50.0, 0.1])) == 500


def test_amdahl_reaches_95_percent_late() -> None:
    assert amdahl().saturation(np.array([50.0, 0.1])) == pytest.approx(19 * 9)
    assert amdahl().knee(np.array([50.0, 0.1])) == 10
    assert amdahl().saturation(np.array([50.0, 0.0])) == np.inf


def test_contention_moves_the_peak_of_the_universal_law() -> None:
    values, clients = np.array([100.0, 0.5, 0.001]), np.arange(1.0, 200)
    rates = scalability().predict(clients, values)
    assert scalability().peak(values) == clients[rates.argmax()] == 22
    assert scalability().capacity(values) == rates.max()


def test_the_universal_law_falls_again_behind_its_peak() -> None:
    values = np.array([100.0, 0.02, 0.002])
    rate = scalability().predict(np.arange(1.0, 100), values)
    assert int(np.argmax(rate)) + 1 == round(np.sqrt(0.98 / 0.002))
    assert scalability().capacity(values) == pytest.approx(rate.max(), rel=1e-3)
    assert 1 < scalability().saturation(values) < np.sqrt(0.98 / 0.002)
    assert scalability().capacity(np.array([100.0, 0.0, 0.0])) == np.inf
