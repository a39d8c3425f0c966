from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.study.simulation.scaling import Scaler, Scaling

AT_ONCE = {"up_stable_s": 0.0, "down_stable_s": 0.0, "up_period_s": 0.0, "down_period_s": 0.0}


def test_the_metric_is_the_queue_time_of_an_execution_over_the_window() -> None:
    scaler = Scaler(Scaling(window_s=30))
    assert scaler.metric_ms(0.0, 0.0, 0) == 0.0
    assert scaler.metric_ms(15.0, 1.0, 10) == pytest.approx(100)
    assert scaler.metric_ms(30.0, 1.0, 20) == pytest.approx(50)
    assert scaler.metric_ms(60.0, 4.0, 30) == pytest.approx(300)
    assert scaler.metric_ms(90.0, 4.0, 30) == 0.0


def test_it_goes_to_as_many_as_the_threshold_says() -> None:
    scaler = Scaler(Scaling(threshold_ms=100, most=8, up_step=8, down_step=8, **AT_ONCE))
    assert scaler.target(0.0, 1, 350.0) == 4  # each server's part of it is to be 100
    assert scaler.target(30.0, 4, 439.0) == 4  # within a tenth
    assert scaler.target(45.0, 4, 441.0) == 5
    assert scaler.target(60.0, 4, 2000.0) == 8
    assert scaler.target(90.0, 8, 0.0) == 1
    whole = Scaler(Scaling(threshold_ms=100, metric_type="Value", most=8, up_step=8, **AT_ONCE))
    assert whole.target(0.0, 3, 200.0) == 6


def test_a_metric_that_is_a_multiple_of_the_threshold_needs_no_server_more() -> None:
    scaler = Scaler(Scaling(threshold_ms=100, most=100, up_step=100, **AT_ONCE))
    assert scaler.target(0.0, 7, 2900.0) == 29  # though 29 / 7 * 7 is above 29


def test_it_goes_step_by_step_and_only_when_it_is_sure() -> None:
    scaler = Scaler(Scaling(threshold_ms=100, most=8, up_stable_s=60, down_stable_s=60, up_period_s=60))
    asked = [(0, 50.0), (30, 900.0), (60, 900.0), (90, 900.0), (120, 900.0), (150, 900.0)]
    servers, numbers = 1, []
    for now_s, metric_ms in asked:
        servers = scaler.target(now_s, servers, metric_ms)
        numbers.append(servers)
    assert numbers == [1, 1, 1, 2, 2, 3]
    assert scaler.target(180, servers, 0.0) == 3
    assert scaler.target(240, servers, 0.0) == 2


def test_steps_down_are_so_far_apart_too() -> None:
    scaler = Scaler(Scaling(most=8, **AT_ONCE | {"down_period_s": 60.0}))
    servers, numbers = 5, []
    for now_s in range(0, 150, 30):
        servers = scaler.target(now_s, servers, 0.0)
        numbers.append(servers)
    assert numbers == [4, 4, 3, 3, 2]


@pytest.mark.parametrize(
    ("given", "text"),
    [({"least": 0}, "1 <= least <= most"), ({"most": 0}, "given 1 and 0"), ({"threshold_ms": 0.0}, "threshold_ms")],
)
def test_what_makes_no_sense_is_refused(given: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Scaling(**given)
