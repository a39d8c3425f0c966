from __future__ import annotations

import pytest

from sonic.client.hedge import Hedge


def test_the_quantile_of_what_was_seen_of_late() -> None:
    hedge = Hedge(0.95, 0.1)
    for number in range(19):
        hedge.ended("m", number)
        assert hedge.delay_s("m") is None
    for number in range(19, 100):
        hedge.ended("m", number)
    assert hedge.delay_s("m") == 94
    assert hedge.delay_s("other") is None
    for _ in range(100):
        hedge.ended("m", 7.0)
    assert hedge.delay_s("m") == 7.0


@pytest.mark.parametrize("budget", [0.0, 0.1, 0.5])
def test_second_requests_are_at_most_their_part_of_all(budget: float) -> None:
    hedge = Hedge(0.95, budget)
    spent = 0
    for _ in range(1000):
        spent += hedge.spend()
        hedge.ended("m", 1.0)
    assert spent == pytest.approx(1000 * budget, abs=2)


def test_what_is_not_spent_is_saved_up_to_a_limit() -> None:
    hedge = Hedge(0.95, 0.1)
    for _ in range(10_000):
        hedge.ended("m", 1.0)
    assert [hedge.spend() for _ in range(11)] == [True] * 10 + [False]
