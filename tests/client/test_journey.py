from __future__ import annotations

from threading import Event, Thread, get_ident
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.journey import Journey
from sonic.client.promise import Promise
from sonic.client.router import Router
from sonic.client.settings import ClientSettings
from sonic.errors import Cancelled, DeadlineExceeded, ModelFailed, ModelNotFound, RateLimited, Unavailable
from sonic.protocol.messages import InferRequest
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.clock import VirtualTimer
from sonic.testing.conformance import WAIT_S, error_of
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from sonic.errors import InferenceError
    from sonic.protocol.messages import InferResponse

SPEC = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1,)),), (TensorSpec("y", DType.FP32, (-1,)),))
REQUEST = InferRequest("m", {"x": np.ones(2, np.float32)})


class Freezing(FakeTransport):
    """Can be frozen: it takes requests and questions, and gives no sign of life until it thaws."""

    def __init__(self, name: str) -> None:
        super().__init__([SPEC], lambda request: {"y": request.inputs["x"]}, f"fake:{name}")
        self.probed = Event()
        self.thawed = Event()
        self.thawed.set()

    def freeze(self) -> None:
        self.holding = True
        self.thawed.clear()

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        self.probed.set()
        assert self.thawed.wait(WAIT_S)
        return super().model_spec(model, version, timeout_s)


class Started:
    """A fallback that is there already."""

    def __init__(self, way: FakeTransport) -> None:
        self.url = "local:spare"
        self.transport = way

    def start(self) -> FakeTransport:
        return self.transport

    def close(self) -> None:
        pass


@pytest.fixture
def timer() -> VirtualTimer:
    return VirtualTimer()


@pytest.fixture
def a() -> Iterator[Freezing]:
    way = Freezing("a")
    yield way
    way.thawed.set()


@pytest.fixture
def b() -> Freezing:
    return Freezing("b")


def router_of(*ways: FakeTransport, timer: VirtualTimer, **settings: object) -> Router:
    return Router(ways, settings=ClientSettings(**{"jitter": 0.0, **settings}), timer=timer)  # type: ignore[arg-type]


def test_the_same_server_after_a_pause(timer: VirtualTimer, a: Freezing) -> None:
    a.then(Unavailable("restarting"), Unavailable("restarting"))
    router = router_of(a, timer=timer, chain=("same", "same"), backoff_s=1.0)
    future = router.infer(REQUEST, None)
    assert len(a.requests) == 1
    timer.advance(0.99)
    assert len(a.requests) == 1
    timer.advance(0.01)
    assert timer.wait_for(1, WAIT_S)
    assert len(a.requests) == 2
    timer.advance(2.0)
    assert future.result(WAIT_S).model == "m"
    router.close()


def test_no_pause_beyond_the_deadline(timer: VirtualTimer, a: Freezing) -> None:
    a.down = RateLimited("enough", 10.0)
    router = router_of(a, timer=timer)
    assert error_of(router.infer(REQUEST, 5.0)) is a.down
    assert len(a.requests) == 1
    router.close()


def test_a_pause_that_is_given_up(timer: VirtualTimer, a: Freezing) -> None:
    a.down = Unavailable("down")
    router = router_of(a, timer=timer)
    future = router.infer(REQUEST, None)
    assert future.cancel()
    timer.advance(10)
    assert len(a.requests) == 1
    router.close()


def test_an_attempt_that_takes_too_long(timer: VirtualTimer, a: Freezing, b: Freezing) -> None:
    a.holding = True
    router = router_of(a, b, timer=timer, attempt_timeout_s=2.0)
    future = router.infer(REQUEST, 60.0)
    held = a.held.get(timeout=WAIT_S)
    assert held.request.timeout_s == 2.0
    timer.advance(2.0)
    assert future.result(WAIT_S)
    assert held.future.cancelled()
    assert [(s.outstanding, s.completed, s.failed) for s in router.statistics()] == [(0, 0, 1), (0, 1, 0)]
    router.close()


@pytest.mark.parametrize(("until_s", "quiet_s"), [(None, 10.0), (8.0, 4.0), (1000.0, 10.0)])
def test_a_frozen_server_is_left_long_before_the_deadline_and_where_there_is_none(
    timer: VirtualTimer, a: Freezing, b: Freezing, until_s: float | None, quiet_s: float
) -> None:
    a.freeze()
    router = router_of(a, b, timer=timer)
    futures = [router.infer(REQUEST, until_s) for _ in range(4)]
    assert [len(a.requests), len(b.requests)] == [1, 3]
    timer.advance(quiet_s / 2)
    assert a.probed.wait(WAIT_S)
    timer.advance(quiet_s / 2 - 0.01)
    assert [len(a.requests), len(b.requests)] == [1, 3]
    timer.advance(0.01)
    assert all(future.result(WAIT_S) for future in futures)
    assert [len(a.requests), len(b.requests)] == [1, 4]
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert len(a.requests) == 1  # it rests
    router.close()


def test_without_another_server_the_error_says_what_happened(timer: VirtualTimer, a: Freezing) -> None:
    a.freeze()
    router = router_of(a, timer=timer, chain=("different",))
    future = router.infer(REQUEST, None)
    timer.advance(10)
    assert str(error_of(future)) == "fake:a: no sign of life for 10 s"
    router.close()


def test_a_model_that_takes_long_is_waited_for(timer: VirtualTimer, a: Freezing, b: Freezing) -> None:
    a.holding = True
    router = router_of(a, b, timer=timer)
    future = router.infer(REQUEST, None)
    held = a.held.get(timeout=WAIT_S)
    for _ in range(10):
        timer.advance(5)
        assert a.probed.wait(WAIT_S)
        while router.signs.heard_s("fake:a") < timer.now_s():
            assert timer.wait_for(1, WAIT_S)
        a.probed.clear()
    assert not future.done()
    held.answer()
    assert future.result(WAIT_S)
    assert b.requests == []
    router.close()


def test_a_server_that_answers_others_is_not_asked(
    timer: VirtualTimer, a: Freezing, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.holding = True
    router = router_of(a, timer=timer)
    asked: list[object] = []
    monkeypatch.setattr(router.signs, "probe", lambda *what: asked.append(what))
    slow = router.infer(REQUEST, None)
    first = a.held.get(timeout=WAIT_S)
    for _ in range(6):
        timer.advance(4)
        quick = router.infer(REQUEST, None)
        a.held.get(timeout=WAIT_S).answer()
        assert quick.result(WAIT_S)
    assert asked == []
    timer.advance(5)
    assert len(asked) == 1
    first.answer()
    assert slow.result(WAIT_S)
    router.close()


def test_the_deadline_during_a_pause(timer: VirtualTimer, a: Freezing) -> None:
    a.down = Unavailable("down")
    router = router_of(a, timer=timer, chain=("same",), backoff_s=0.9)
    future = router.infer(REQUEST, 1.0)
    a.down = None
    a.holding = True
    timer.advance(0.9)
    held = a.held.get(timeout=WAIT_S)
    timer.advance(0.1)
    assert type(error_of(future)) is DeadlineExceeded
    assert held.future.cancelled()
    router.close()


def test_one_that_ends_while_it_is_sent_is_given_up_at_the_server(timer: VirtualTimer) -> None:
    promise: Promise[InferResponse] = Promise()

    class Ends(Freezing):
        def submit(self, request: InferRequest) -> Future[InferResponse]:
            sent = super().submit(request)
            promise.cancel()
            return sent

    way = Ends("a")
    way.holding = True
    router = router_of(way, timer=timer)
    Journey(router, REQUEST, None, promise).go()
    assert way.held.get(timeout=WAIT_S).future.cancelled()
    assert not timer.wait_for(1, 0)
    router.close()


def test_nothing_is_left_to_do_when_a_request_ends(timer: VirtualTimer, a: Freezing) -> None:
    a.holding = True
    router = router_of(a, timer=timer, attempt_timeout_s=30.0)
    futures = [router.infer(REQUEST, 60.0) for _ in range(2)]
    a.held.get(timeout=WAIT_S).answer()
    a.held.get(timeout=WAIT_S).fail(ModelFailed("broke"))
    assert futures[0].result(WAIT_S)
    assert type(error_of(futures[1])) is ModelFailed
    assert not timer.wait_for(1, 0)
    router.close()


def test_an_open_circuit_spares_requests_the_server_and_closes_when_it_is_back(
    timer: VirtualTimer, a: Freezing
) -> None:
    spare = Freezing("spare")
    router = Router(
        [a],
        Started(spare),  # type: ignore[arg-type]
        ClientSettings(chain=("same", "fallback"), jitter=0.0, breaker_failures=3),
        timer=timer,
    )
    a.down = Unavailable("down")
    for number in range(3):
        future = router.infer(REQUEST, None)
        if number == 0:
            timer.advance(0.1)  # two failures; the next one opens the circuit, and then there is no pause
        assert future.result(WAIT_S)
    assert [len(a.requests), len(spare.requests)] == [3, 3]
    assert router.statistics()[0].circuit == "open"
    timer.advance(5.0)
    assert router.statistics()[0].circuit == "half-open"
    a.down = None
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert [len(a.requests), len(spare.requests)] == [4, 3]
    assert router.statistics()[0].circuit == "closed"
    router.close()


def test_one_request_alone_tries_whatever_becomes_of_older_ones(timer: VirtualTimer, a: Freezing) -> None:
    spare = Freezing("spare")
    settings = ClientSettings(chain=("fallback",), jitter=0.0, breaker_failures=1, silence_s=1000.0)
    router = Router([a], Started(spare), settings, timer=timer)  # type: ignore[arg-type]
    a.holding = True
    futures = [router.infer(REQUEST, None) for _ in range(3)]
    first, second, _ = (a.held.get(timeout=WAIT_S) for _ in range(3))
    first.fail(Unavailable("down"))
    assert futures[0].result(WAIT_S)
    timer.advance(5.0)
    tries = router.infer(REQUEST, None)
    trial = a.held.get(timeout=WAIT_S)
    second.fail(Unavailable("down"))
    assert futures[2].cancel()
    assert router.statistics()[0].circuit == "half-open"
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert a.held.empty()
    trial.fail(Unavailable("still down"))
    assert tries.result(WAIT_S)
    timer.advance(9.9)
    assert router.statistics()[0].circuit == "open"
    timer.advance(0.1)
    assert router.statistics()[0].circuit == "half-open"
    router.close()


def test_a_trial_that_is_given_up_before_it_is_sent_lets_another_try(
    timer: VirtualTimer, a: Freezing, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = Freezing("spare")
    settings = ClientSettings(chain=("fallback",), jitter=0.0, breaker_failures=1)
    router = Router([a], Started(spare), settings, timer=timer)  # type: ignore[arg-type]
    a.then(Unavailable("down"))
    assert router.infer(REQUEST, None).result(WAIT_S)
    timer.advance(5.0)
    promise: Promise[InferResponse] = Promise()
    sent = router.choice.sent
    monkeypatch.setattr(router.choice, "sent", lambda url: (sent(url), promise.cancel())[0])
    Journey(router, REQUEST, None, promise).go()
    monkeypatch.undo()
    assert len(a.requests) == 1
    assert router.statistics()[0].outstanding == 0
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert (len(a.requests), router.statistics()[0].circuit) == (2, "closed")
    router.close()


@pytest.mark.parametrize("action", ["same", "again"])
def test_a_circuit_that_opens_during_a_pause(timer: VirtualTimer, a: Freezing, action: str) -> None:
    spare = Freezing("spare")
    settings = ClientSettings(chain=(action, "fallback"), jitter=0.0, breaker_failures=3)  # type: ignore[arg-type]
    router = Router([a], Started(spare), settings, timer=timer)  # type: ignore[arg-type]
    a.down = Unavailable("down")
    futures = [router.infer(REQUEST, None) for _ in range(3)]  # the third opens it, while two wait
    timer.advance(0.1)
    assert all(future.result(WAIT_S) for future in futures)
    assert [len(a.requests), len(spare.requests)] == [3, 3]
    router.close()


def test_the_only_server_is_tried_even_with_an_open_circuit(timer: VirtualTimer, a: Freezing) -> None:
    router = router_of(a, timer=timer, chain=(), breaker_failures=1)
    a.down = Unavailable("down")
    assert error_of(router.infer(REQUEST, None)) is a.down
    assert router.statistics()[0].circuit == "open"
    a.down = None
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert router.statistics()[0].circuit == "closed"
    router.close()


def warmed_up(router: Router, timer: VirtualTimer, *ways: Freezing) -> None:
    """Let twenty requests take 1 s each."""
    for way in ways:
        way.holding = True
    futures = [router.infer(REQUEST, None) for _ in range(20)]
    timer.advance(1.0)
    for way in ways:
        while not way.held.empty():
            way.held.get().answer()
        way.requests.clear()
    assert all(future.result(WAIT_S) for future in futures)


def test_a_second_server_is_asked_and_the_first_answer_counts(timer: VirtualTimer, a: Freezing, b: Freezing) -> None:
    router = router_of(a, b, timer=timer, hedge_quantile=0.95)
    warmed_up(router, timer, a, b)
    before = [state.completed for state in router.statistics()]
    future = router.infer(REQUEST, None)
    first = a.held.get(timeout=WAIT_S)
    timer.advance(0.99)
    assert b.requests == []
    timer.advance(0.01)
    b.held.get(timeout=WAIT_S).answer()
    assert future.result(WAIT_S)
    assert first.future.cancelled()
    assert [(s.outstanding, s.failed) for s in router.statistics()] == [(0, 0), (0, 0)]
    assert [s.completed - n for s, n in zip(router.statistics(), before, strict=True)] == [0, 1]
    router.close()


@pytest.mark.parametrize("error", [Unavailable("down"), ModelNotFound("no model 'm'")])
def test_one_of_two_that_fails_leaves_it_to_the_other(
    timer: VirtualTimer, a: Freezing, b: Freezing, error: InferenceError
) -> None:
    router = router_of(a, b, timer=timer, hedge_quantile=0.95)
    warmed_up(router, timer, a, b)
    future = router.infer(REQUEST, None)
    timer.advance(1.0)
    second = b.held.get(timeout=WAIT_S)
    a.held.get(timeout=WAIT_S).fail(error)
    assert not future.done()
    second.answer()
    assert future.result(WAIT_S)
    assert [len(a.requests), len(b.requests)] == [1, 1]
    router.close()


def test_two_that_fail_go_on_along_the_chain(timer: VirtualTimer, a: Freezing, b: Freezing) -> None:
    router = router_of(a, b, timer=timer, hedge_quantile=0.95, chain=("again",))
    warmed_up(router, timer, a, b)
    future = router.infer(REQUEST, None)
    timer.advance(1.0)
    second = b.held.get(timeout=WAIT_S)
    a.held.get(timeout=WAIT_S).fail(Unavailable("down"))
    a.holding = b.holding = False
    second.fail(Unavailable("down"))
    timer.advance(0.1)
    assert future.result(WAIT_S)
    assert len(a.requests) + len(b.requests) == 3
    router.close()


# ---- a caller who waits, and brings the answer


class Waiting(Freezing):
    """Its answers are brought by whoever waits for them; while it holds, they are not to be had."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.brought_by: list[int] = []
        self.began = Event()

    def begin(self, request: InferRequest) -> tuple[Future[InferResponse], Callable[[], object]]:
        promise: Promise[InferResponse] = Promise()
        let_go = Event()
        promise.on_end(lambda _: let_go.set())
        submitted = self.submit(request)

        def bring() -> None:
            self.brought_by.append(get_ident())
            self.began.set()
            if self.holding:
                assert let_go.wait(WAIT_S)
            else:
                promise.follow(submitted, lambda response: response)

        return promise, bring


def waiter(router: Router, until_s: float | None = None) -> tuple[Thread, list[Future[InferResponse]]]:
    ended: list[Future[InferResponse]] = []
    thread = Thread(target=lambda: ended.append(router.infer(REQUEST, until_s, here=True)))
    thread.start()
    return thread, ended


def test_whoever_waits_brings_the_answer(timer: VirtualTimer) -> None:
    way = Waiting("a")
    router = router_of(way, timer=timer)
    future = router.infer(REQUEST, None, lambda response: response.model, here=True)
    assert future.result(0) == "m"
    assert way.brought_by == [get_ident()]
    assert router.infer(REQUEST, None).result(0).model == "m"
    assert len(way.brought_by) == 1
    assert not timer.wait_for(1, 0)
    router.close()


def test_others_bring_what_the_first_server_does_not(timer: VirtualTimer, b: Freezing) -> None:
    way = Waiting("a")
    way.then(Unavailable("down"))
    router = router_of(way, b, timer=timer)
    assert router.infer(REQUEST, None, here=True).result(WAIT_S).model == "m"
    assert [len(way.requests), len(b.requests), len(way.brought_by)] == [1, 1, 1]
    router.close()


def test_whoever_waits_is_let_go_when_a_server_gives_no_sign_of_life(timer: VirtualTimer, b: Freezing) -> None:
    way = Waiting("a")
    way.freeze()
    router = router_of(way, b, timer=timer)
    thread, ended = waiter(router)
    try:
        assert way.began.wait(WAIT_S)
        timer.advance(5)
        assert way.probed.wait(WAIT_S)
        timer.advance(5)
        thread.join(WAIT_S)
        assert ended[0].result(WAIT_S).model == "m"
        assert len(b.requests) == 1
    finally:
        way.thawed.set()
        router.close()
        thread.join(WAIT_S)


@pytest.mark.parametrize("close", [False, True])
def test_whoever_waits_is_let_go_at_the_deadline_and_at_the_close(timer: VirtualTimer, close: bool) -> None:
    way = Waiting("a")
    way.freeze()
    router = router_of(way, timer=timer)
    thread, ended = waiter(router, 1.0)
    try:
        assert way.began.wait(WAIT_S)
        if close:
            router.close()
        else:
            timer.advance(1.0)
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert type(error_of(ended[0])) is (Cancelled if close else DeadlineExceeded)
    finally:
        way.thawed.set()
        router.close()
        thread.join(WAIT_S)


def test_a_second_server_may_be_sooner_for_whoever_waits(timer: VirtualTimer, b: Freezing) -> None:
    way = Waiting("a")
    router = router_of(way, b, timer=timer, hedge_quantile=0.95)
    warmed_up(router, timer, way, b)
    b.holding = False
    thread, ended = waiter(router)
    try:
        assert way.began.wait(WAIT_S)
        timer.advance(1.0)
        thread.join(WAIT_S)
        assert ended[0].result(WAIT_S).model == "m"
        assert len(b.requests) == 1
    finally:
        router.close()
        thread.join(WAIT_S)


def test_a_wait_that_is_interrupted_is_the_end_of_the_request(timer: VirtualTimer) -> None:
    class Interrupted(Waiting):
        def begin(self, request: InferRequest) -> tuple[Future[InferResponse], Callable[[], object]]:
            self.promise, _ = super().begin(request)

            def bring() -> None:
                raise KeyboardInterrupt

            return self.promise, bring

    way = Interrupted("a")
    way.holding = True
    router = router_of(way, timer=timer)
    with pytest.raises(KeyboardInterrupt):
        router.infer(REQUEST, None, here=True)
    assert way.promise.cancelled()
    assert router.statistics()[0].outstanding == 0
    assert not timer.wait_for(1, 0)
    router.close()
