from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client.breaker import Breaker


def fail(breaker: Breaker, now_s: float, times: int = 1) -> None:
    for _ in range(times):
        breaker.ended(now_s, failed=True, trial=breaker.sent(now_s))


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(3, 5.0, 60.0)
    fail(breaker, 0.0, 2)
    breaker.ended(0.0, failed=False, trial=breaker.sent(0.0))
    fail(breaker, 1.0, 2)
    assert breaker.circuit(1.0) == "closed"
    fail(breaker, 2.0)
    assert (breaker.circuit(6.9), breaker.admits(6.9)) == ("open", False)
    assert (breaker.circuit(7.0), breaker.admits(7.0)) == ("half-open", True)


def test_one_request_at_a_time_tries_and_success_closes_it() -> None:
    breaker = Breaker(1, 5.0, 60.0)
    fail(breaker, 0.0)
    trial = breaker.sent(5.0)
    assert not breaker.admits(5.0)
    breaker.ended(6.0, failed=False, trial=trial)
    assert (breaker.circuit(6.0), breaker.admits(6.0)) == ("closed", True)


def test_each_failure_to_close_doubles_the_rest_up_to_a_limit() -> None:
    breaker = Breaker(1, 5.0, 15.0)
    now_s = 0.0
    fail(breaker, now_s)
    for rest_s in (5.0, 10.0, 15.0, 15.0):
        assert not breaker.admits(now_s + rest_s - 0.1)
        now_s += rest_s
        assert breaker.admits(now_s)
        fail(breaker, now_s)
    breaker.ended(now_s, failed=False, trial=breaker.sent(now_s))
    fail(breaker, now_s)
    assert breaker.admits(now_s + 5.0)


def test_what_is_sent_while_it_is_open_since_there_is_no_other_server_does_not_prolong_the_rest() -> None:
    breaker = Breaker(2, 5.0, 60.0)
    fail(breaker, 0.0, 2)
    fail(breaker, 1.0, 6)
    assert (breaker.circuit(4.9), breaker.circuit(5.0)) == ("open", "half-open")
    breaker.ended(4.9, failed=False, trial=breaker.sent(4.9))
    assert breaker.circuit(4.9) == "closed"


def test_what_was_sent_before_it_opened_does_not_keep_it_open() -> None:
    breaker = Breaker(2, 5.0, 60.0)
    trials = [breaker.sent(0.0) for _ in range(6)]
    for now_s, trial in enumerate(trials):
        breaker.ended(float(now_s), failed=True, trial=trial)
    assert breaker.admits(6.0)


@pytest.mark.parametrize("failed", [True, None])
def test_what_was_sent_before_it_opened_says_nothing_of_the_request_that_tries(failed: bool | None) -> None:
    breaker = Breaker(2, 5.0, 60.0)
    before = [breaker.sent(0.0) for _ in range(4)]
    for trial in before[:2]:
        breaker.ended(0.0, failed=True, trial=trial)
    tries = breaker.sent(5.0)
    for trial in before[2:]:
        breaker.ended(5.0, failed=failed, trial=trial)
        assert not breaker.admits(5.0)
        assert breaker.sent(5.0) == 0  # where there is no other server
        assert breaker.circuit(5.0) == "half-open"
    breaker.ended(6.0, failed=True, trial=tries)
    assert (breaker.circuit(15.9), breaker.circuit(16.0)) == ("open", "half-open")


def test_a_trial_that_another_success_made_needless_says_nothing_of_the_next() -> None:
    breaker = Breaker(1, 5.0, 60.0)
    fail(breaker, 0.0)
    first = breaker.sent(5.0)
    breaker.ended(5.0, failed=False, trial=0)
    assert breaker.circuit(5.0) == "closed"
    fail(breaker, 6.0)
    second = breaker.sent(11.0)
    breaker.ended(11.0, failed=True, trial=first)
    assert not breaker.admits(11.0)
    breaker.ended(11.0, failed=None, trial=second)
    assert breaker.admits(11.0)


def test_a_try_that_was_given_up_lets_another_try() -> None:
    breaker = Breaker(1, 5.0, 60.0)
    fail(breaker, 0.0)
    breaker.ended(5.0, failed=None, trial=breaker.sent(5.0))
    assert (breaker.circuit(5.0), breaker.admits(5.0)) == ("half-open", True)


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 10)), max_size=40))
def test_whatever_happened_it_admits_again_after_the_longest_rest(history: list[tuple[bool | None, float]]) -> None:
    breaker = Breaker(3, 1.0, 8.0)
    now_s = 0.0
    for failed, wait_s in history:
        now_s += wait_s
        breaker.ended(now_s, failed=failed, trial=breaker.sent(now_s))
    assert breaker.admits(now_s + 8.0)
