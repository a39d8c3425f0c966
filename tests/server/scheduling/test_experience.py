from __future__ import annotations

import time

import pytest

from sonic.server.scheduling.experience import Experience
from sonic.server.scheduling.policies import BatchPolicy


def test_nothing_is_short_before_it_is_known_or_where_nothing_is_to_be() -> None:
    known, never = Experience(BatchPolicy(), 1e-3), Experience(BatchPolicy(), 0.0)
    assert not known.is_short(100)
    for experience in (known, never):
        experience.learn(100, 1, 1e-4, 1e-4)
    assert known.is_short(100)
    assert not known.is_short(10_000)
    assert not never.is_short(100)
    assert (known.clock, never.clock) == (time.thread_time, time.monotonic)


@pytest.mark.parametrize("delay_s", [0.0, 1e-4])
def test_what_joins_is_short_together(delay_s: float) -> None:
    experience = Experience(BatchPolicy(max_rows=64, max_delay_s=delay_s), 1e-3)
    experience.learn(100, 1, 1e-4, 1e-4)
    joined = 0
    while experience.joins(300):
        experience.turn.join(300)
        joined += 1
    assert joined == 3


@pytest.mark.parametrize("policy", [BatchPolicy(), BatchPolicy(max_rows=64, max_delay_s=0.1)])
def test_models_that_do_not_merge_or_wait_long_do_so_without_the_loop(policy: BatchPolicy) -> None:
    experience = Experience(policy, 1e-3)
    experience.learn(100, 1, 1e-4, 1e-4)
    assert not experience.joins(100)


def test_failures_say_nothing_about_rows() -> None:
    experience = Experience(BatchPolicy(max_rows=64), 0.0)
    for _ in range(10):
        experience.learn(10, 1, 1.0, 1.0)
        experience.learn(100, None, 1000.0, 1000.0)
    assert experience.most_rows == 64
    for _ in range(10):
        experience.learn(100, 10, 1000.0, 1000.0)
    assert experience.most_rows < 10
