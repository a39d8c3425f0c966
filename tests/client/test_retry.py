from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client.retry import Chain, Step
from sonic.client.settings import ClientSettings
from sonic.errors import DeadlineExceeded, InvalidRequest, ModelFailed, ModelNotFound, RateLimited, Unavailable

ALL = ("different", "same", "again", "fallback")
DOWN = Unavailable("down")


def chain(**settings: object) -> Chain:
    return Chain(ClientSettings(**{"jitter": 0.0, **settings}), Random(1))  # type: ignore[arg-type]


def test_one_action_after_the_other() -> None:
    steps = chain(chain=("same", "different", "again", "fallback"))
    assert steps.next(DOWN, ALL, None) == Step("same", 0.1)
    assert steps.next(DOWN, ALL, None) == Step("different")
    assert steps.next(DOWN, ALL, None) == Step("different")  # as long as there is another
    assert steps.next(DOWN, ("same", "again", "fallback"), None) == Step("again", 0.2)
    assert steps.next(DOWN, ("same", "again", "fallback"), None) == Step("fallback")
    assert steps.next(DOWN, ALL, None) is None


def test_what_is_not_possible_is_passed_over() -> None:
    steps = chain(chain=("different", "again", "fallback"))
    assert steps.next(DOWN, ("fallback",), None) == Step("fallback")
    assert chain(chain=()).next(DOWN, ALL, None) is None


@pytest.mark.parametrize("error", [InvalidRequest("x"), ModelFailed("x")])
def test_what_is_wrong_everywhere_is_not_tried_again(error: InvalidRequest | ModelFailed) -> None:
    assert chain().next(error, ALL, None) is None


def test_a_model_that_is_not_there_is_looked_for_elsewhere_alone() -> None:
    steps = chain(chain=("same", "different", "again", "fallback"))
    error = ModelNotFound("not here")
    assert steps.next(error, ALL, None) == Step("different")
    assert steps.next(error, ("same", "again", "fallback"), None) == Step("fallback")


def test_so_many_tries_in_all() -> None:
    steps = chain(tries=3)
    assert steps.next(DeadlineExceeded("queue"), ALL, None) is not None
    assert steps.next(DOWN, ALL, None) is not None
    assert steps.next(DOWN, ALL, None) is None
    assert chain(tries=1).next(DOWN, ALL, None) is None


def test_pauses_grow_up_to_a_limit() -> None:
    steps = chain(chain=("same",) * 5, backoff_s=1.0, backoff_factor=3.0, max_backoff_s=10.0)
    delays = [step.delay_s for _ in range(5) if (step := steps.next(DOWN, ALL, None))]
    assert delays == [1.0, 3.0, 9.0, 10.0, 10.0]


def test_a_server_that_says_how_long_to_wait_is_heeded() -> None:
    assert chain(chain=("same",)).next(RateLimited("enough", 2.5), ALL, None) == Step("same", 2.5)


def test_a_server_that_wants_a_longer_pause_than_any_is_not_waited_for() -> None:
    steps = chain(chain=("same", "again", "fallback"), max_backoff_s=2.0)
    assert steps.next(RateLimited("enough", 2.5), ALL, None) == Step("fallback")
    assert steps.next(RateLimited("enough", 2.5), ALL, None) is None


def test_no_pause_that_would_not_end_before_the_deadline() -> None:
    steps = chain(chain=("same", "fallback"), backoff_s=1.0)
    assert steps.next(DOWN, ALL, 0.9) == Step("fallback")
    assert chain(chain=("same",), backoff_s=1.0).next(DOWN, ALL, 1.1) == Step("same", 1.0)


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_jitter_takes_at_most_its_part_of_a_pause(jitter: float, seed: int) -> None:
    steps = Chain(ClientSettings(chain=("same",) * 4, jitter=jitter), Random(seed))
    for whole_s in (0.1, 0.2, 0.4, 0.8):
        step = steps.next(DOWN, ALL, None)
        assert step is not None
        assert whole_s * (1 - jitter) - 1e-12 <= step.delay_s <= whole_s


@given(st.lists(st.sampled_from(ALL), max_size=6), st.integers(0, 5))
def test_every_chain_comes_to_an_end(actions: list[str], servers: int) -> None:
    steps = chain(chain=tuple(actions))
    fallback = True
    for _ in range(servers + len(actions)):
        possible = {"same", "again"} | ({"different"} if servers else set()) | ({"fallback"} if fallback else set())
        step = steps.next(DOWN, possible, None)  # type: ignore[arg-type]
        if step is None:
            break
        servers -= step.action == "different"
        fallback = fallback and step.action != "fallback"
    assert steps.next(DOWN, {"same", "again"}, None) is None
