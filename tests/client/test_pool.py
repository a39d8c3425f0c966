from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client.pool import Pool, ServerState
from sonic.errors import ConfigError


def test_the_fewest_outstanding() -> None:
    pool = Pool("abc")
    pool.sent("a", 0.0)
    pool.sent("a", 0.0)
    pool.sent("b", 0.0)
    pool.sent("c", 0.0)
    pool.sent("c", 0.0)
    assert pool.choose(0) == "b"


def test_in_turn_when_all_are_alike() -> None:
    pool = Pool("abc")
    order = []
    for _ in range(6):
        chosen = pool.choose(0)
        assert chosen is not None
        pool.sent(chosen, 0.0)
        pool.done(chosen, 0, failed=False)
        order.append(chosen)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_one_that_failed_rests() -> None:
    pool = Pool("ab", rest_s=5)
    pool.sent("a", 0.0)
    pool.done("a", 10.0, failed=True)
    pool.sent("b", 0.0)
    assert pool.choose(14.9) == "b"
    assert pool.choose(15.0) == "a"


def test_one_that_rests_is_better_than_none() -> None:
    pool = Pool("ab", rest_s=5)
    for server in "ab":
        pool.sent(server, 0.0)
        pool.done(server, 10.0, failed=True)
    assert pool.choose(11) in ("a", "b")
    assert pool.choose(11, exclude="b") == "a"


def test_success_ends_a_rest() -> None:
    pool = Pool("ab", rest_s=5)
    pool.sent("a", 0.0)
    pool.sent("a", 0.0)
    pool.done("a", 10.0, failed=True)
    pool.done("a", 11.0, failed=False, model="m")
    state = ServerState("a", 0, completed=1, failed=1, rests_until_s=float("-inf"), models={"m": 1})
    assert pool.statistics(0)[0] == state
    pool.sent("b", 0.0)
    assert pool.choose(11) == "a"


def test_one_given_up_says_nothing() -> None:
    pool = Pool("a")
    pool.sent("a", 0.0)
    pool.done("a", 1.0, failed=None)
    assert pool.statistics(0) == (ServerState("a", 0, 0, 0, float("-inf")),)


def test_an_open_circuit_comes_after_everything_and_only_if_allowed() -> None:
    pool = Pool("ab", rest_s=5, breaker_failures=2)
    before = pool.sent("a", 0.0)
    for _ in range(2):
        pool.sent("a", 0.0)
        pool.done("a", 0.0, failed=True)
    assert [state.circuit for state in pool.statistics(1)] == ["open", "closed"]
    assert not pool.admits("a", 1)
    assert pool.choose(1, last="b") == "b"
    assert pool.choose(1, exclude="b") == "a"
    assert pool.choose(1, exclude="b", open_too=False) is None
    assert pool.choose(5, exclude="b", open_too=False) == "a"
    sending = pool.sent("a", 5.0)
    assert pool.choose(5, exclude="b", open_too=False) is None
    pool.done("a", 6.0, failed=None, sending=before)
    assert pool.choose(6, exclude="b", open_too=False) is None
    pool.done("a", 6.0, failed=False, sending=sending)
    assert pool.choose(6, exclude="b", open_too=False) == "a"


def test_excluded_and_last() -> None:
    pool = Pool("abc")
    assert pool.choose(0, exclude=["a", "b"]) == "c"
    assert pool.choose(0, exclude="abc") is None
    assert pool.choose(0, exclude="c", last="a") == "b"
    assert pool.choose(0, exclude="bc", last="a") == "a"
    assert Pool(()).choose(0) is None


def test_a_server_is_there_once() -> None:
    with pytest.raises(ConfigError, match="server a is given twice"):
        Pool("aba")


def took(pool: Pool, server: str, took_s: float, now_s: float = 0.0, model: str = "") -> None:
    sending = pool.sent(server, now_s)
    pool.done(server, now_s, failed=False, took_s=took_s, sending=sending, model=model)


def test_the_shortest_expected_wait() -> None:
    pool = Pool("ab")
    took(pool, "a", 1.0)
    took(pool, "b", 3.5)
    for expected in "aaab":
        assert pool.choose(0) == expected
        pool.sent(expected, 0.0)
    assert [state.latency_s for state in pool.statistics(0)] == [1.0, 3.5]


def test_a_long_queue_of_our_own_does_not_make_a_server_slow() -> None:
    pool = Pool("ab")
    took(pool, "b", 2.0)
    sent = [pool.sent("a", 0.0) for _ in range(10)]
    for number, sending in enumerate(sent, 1):
        pool.done("a", number, failed=False, took_s=float(number), sending=sending)
    assert pool.choose(10) == "a"


def test_one_model_that_is_slow_somewhere() -> None:
    pool = Pool("ab")
    took(pool, "a", 9.0, model="m")
    took(pool, "b", 1.0, model="m")
    took(pool, "a", 1.0, model="n")
    took(pool, "b", 2.0, model="n")
    assert (pool.choose(0, "m"), pool.choose(0, "n")) == ("b", "a")


def test_a_server_that_was_slow_is_tried_again_in_time() -> None:
    pool = Pool("ab")
    took(pool, "a", 100.0)
    took(pool, "b", 1.0)
    pool.sent("b", 0.0)
    assert pool.choose(0.0) == "b"
    assert pool.choose(30.0) == "b"
    assert pool.choose(60.0) == "a"


def test_a_server_left_for_another_counts_as_slow_only_if_it_was() -> None:
    pool = Pool("ab")
    for server in "ab":
        took(pool, server, 1.0)
    sending = pool.sent("a", 0.0)
    pool.done("a", 0.0, failed=None, took_s=0.1, sending=sending)
    assert pool.statistics(0)[0].latency_s == 1.0
    pool.sent("b", 0.0)
    pool.sent("a", 0.0)
    pool.done("a", 0.0, failed=None, took_s=50.0)
    assert pool.choose(0.0) == "b"


def test_preferred_servers_come_first() -> None:
    pool = Pool("abc", preferred="b", rest_s=5)
    for _ in range(10):
        assert pool.choose(0) == "b"
        pool.sent("b", 0.0)
    pool.done("b", 0.0, failed=True)
    assert pool.choose(1) in ("a", "c")
    assert pool.choose(1, exclude="ac") == "b"


def test_strictly_preferred_servers_are_the_only_ones() -> None:
    pool = Pool("abc", preferred="bc", strict=True)
    assert pool.choose(0, exclude="b") == "c"
    assert pool.choose(0, exclude="bc") is None
    assert Pool("ab", strict=True).choose(0) == "a"
    with pytest.raises(ConfigError, match="preferred server x is none of a, b"):
        Pool("ab", preferred="x")


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([True, False, None]), st.floats(0, 100)), max_size=30)
)
def test_whatever_happened_the_choice_is_one_not_excluded(history: list[tuple[str, bool | None, float]]) -> None:
    pool = Pool("abc")
    now = 0.0
    for server, failed, wait in history:
        now += wait
        pool.done(server, now, failed=failed, sending=pool.sent(server, now))
        assert pool.choose(now) in ("a", "b", "c")
        assert pool.choose(now, exclude=[server]) not in (server, None)
    assert all(state.outstanding == 0 for state in pool.statistics(0))
    assert sum(state.completed + state.failed for state in pool.statistics(0)) == sum(
        failed is not None for _, failed, _ in history
    )
