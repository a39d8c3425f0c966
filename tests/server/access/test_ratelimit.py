from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.server.access.ratelimit import _MAX_BUCKETS, RateLimit


def test_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(10, burst=3)
    assert [limit.take("a", 0.0) for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]
    assert limit.take("b", 0.0) == 0
    assert limit.take("a", 0.05) == pytest.approx(0.05)
    assert limit.take("a", 0.1001) == 0
    assert [limit.take("a", 100.0) for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]


@given(
    st.floats(0.1, 1000),
    st.floats(1, 50),
    st.lists(st.floats(0, 10), min_size=1, max_size=60).map(sorted),
)
def test_never_more_than_burst_and_rate_allow(per_s: float, burst: float, times_s: list[float]) -> None:
    limit = RateLimit(per_s, burst)
    taken = [t for t in times_s if limit.take("a", t) == 0]
    assert len(taken) <= burst + (times_s[-1] - times_s[0]) * per_s + 1e-6
    wait_s = limit.take("a", times_s[-1])
    if wait_s:
        assert limit.take("a", times_s[-1] + wait_s + 1e-9) == 0


def test_clients_are_forgotten() -> None:
    limit = RateLimit(1)
    for number in range(3 * _MAX_BUCKETS):
        limit.take(str(number), number * 1e-6)
    assert len(limit._buckets) <= _MAX_BUCKETS
    for number in range(_MAX_BUCKETS):
        limit.take(f"later {number}", 100.0)
    assert all(name.startswith("later") for name in limit._buckets)


def test_those_who_are_not_full_again_are_forgotten_last() -> None:
    limit = RateLimit(1, burst=2)
    assert [limit.take("greedy", 0.0) for _ in range(3)] == [0, 0, 1]
    for number in range(1, _MAX_BUCKETS):
        limit.take(f"once {number}", 0.0)
    limit.take("one too many", 1.5)  # all are full again but for the first
    assert [limit.take("greedy", 1.5) for _ in range(2)] == [0, 0.5]


def test_those_who_go_on_are_not_forgotten() -> None:
    limit = RateLimit(1, burst=2)
    assert [limit.take("greedy", 0.0) for _ in range(3)] == [0, 0, 1]
    for number in range(2 * _MAX_BUCKETS):
        limit.take(f"once {number}", 0.5)
        assert limit.take("greedy", 0.5) == 0.5


@pytest.mark.parametrize(
    ("per_s", "burst"), [(0, None), (-1, None), (float("nan"), None), (float("inf"), None), (5, 0)]
)
def test_numbers_that_make_no_limit(per_s: float, burst: float | None) -> None:
    with pytest.raises(ConfigError, match="a rate limit is above 0"):
        RateLimit(per_s, burst)
