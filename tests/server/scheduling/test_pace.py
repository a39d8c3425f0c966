from __future__ import annotations

from math import inf

import pytest

from sonic.server.scheduling.pace import Pace


def test_nothing_is_known_before_the_first() -> None:
    assert Pace().expected_s(0) == inf


def test_larger_inputs_take_longer_and_smaller_ones_no_less_than_any() -> None:
    pace = Pace()
    pace.learn(1.0, 0.001, 1000)
    assert pace.expected_s(1000) == pytest.approx(0.001)
    assert pace.expected_s(5000) == pytest.approx(0.005)
    assert pace.expected_s(10) == pytest.approx(0.001)


def test_one_slow_execution_changes_little_and_many_are_believed() -> None:
    pace = Pace()
    pace.learn(0.001, 0.001, 1000)
    pace.learn(9.0, 9.0, 1000)
    assert pace.expected_s(1000) == pytest.approx(0.00125)
    for _ in range(100):
        pace.learn(9.0, 9.0, 1000)
    assert pace.expected_s(1000) == pytest.approx(9.0)
    pace.learn(0.001, 0.001, 1000)
    assert pace.expected_s(1000) == pytest.approx(0.001)


def test_the_usual_one_follows() -> None:
    pace = Pace()
    assert pace.usual_s == 0
    for _ in range(50):
        pace.learn(2.0, 1.0, 1)
    assert pace.usual_s == pytest.approx(2.0, rel=1e-3)
