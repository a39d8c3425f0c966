from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier, Event, current_thread
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.router import Router
from sonic.client.settings import ClientSettings
from sonic.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    Unavailable,
)
from sonic.protocol.messages import InferRequest, InferResponse, ModelStatus
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.clock import VirtualTimer
from sonic.testing.conformance import WAIT_S, error_of
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from sonic.client.transport import Transport

SPEC = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1,)),), (TensorSpec("y", DType.FP32, (-1,)),))
REQUEST = InferRequest("m", {"x": np.ones(2, np.float32)})
ONCE = ClientSettings(chain=("different", "fallback"))
"""Each server once, without a pause."""


def fake(name: str, *specs: ModelSpec) -> FakeTransport:
    return FakeTransport(specs or (SPEC,), lambda request: {"y": request.inputs["x"]}, f"fake:{name}")


class FakeFallback:
    def __init__(self, way: FakeTransport | None, error: Exception | None = None) -> None:
        self.url = "fake:fallback"
        self.transport: FakeTransport | None = None
        self.started = 0
        self.thread: str = ""
        self._way = way
        self._error = error

    def start(self) -> Transport:
        self.started += 1
        self.thread = current_thread().name
        if self._error is not None:
            raise self._error
        self.transport = self._way
        assert self.transport is not None
        return self.transport

    def close(self) -> None:
        pass


@pytest.fixture
def a() -> FakeTransport:
    return fake("a")


@pytest.fixture
def b() -> FakeTransport:
    return fake("b")


@pytest.fixture
def router(a: FakeTransport, b: FakeTransport) -> Iterator[Router]:
    router = Router([a, b], settings=ONCE)
    yield router
    router.close()


def test_load_is_spread(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.holding = b.holding = True
    futures = [router.infer(REQUEST, None) for _ in range(6)]
    assert (len(a.requests), len(b.requests)) == (3, 3)
    assert [state.outstanding for state in router.statistics()] == [3, 3]
    for transport in (a, b):
        for _ in range(3):
            transport.held.get(timeout=WAIT_S).answer()
    assert all(future.result(WAIT_S).model == "m" for future in futures)
    assert [(s.outstanding, s.completed) for s in router.statistics()] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("error", [Unavailable("busy"), DeadlineExceeded("queue"), ModelNotFound("not here")])
def test_another_server_takes_over(router: Router, a: FakeTransport, b: FakeTransport, error: Exception) -> None:
    a.down = error
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert (len(a.requests), len(b.requests)) == (1, 1)
    # The one that failed comes last for a while.
    for _ in range(3):
        assert router.infer(REQUEST, None).result(WAIT_S)
    assert (len(a.requests), len(b.requests)) == (1, 4)


@pytest.mark.parametrize("error", [InvalidRequest("wrong shape"), ModelFailed("it broke")])
def test_what_is_wrong_everywhere_is_tried_once(
    router: Router, a: FakeTransport, b: FakeTransport, error: Exception
) -> None:
    a.down = error
    assert error_of(router.infer(REQUEST, None)) is error
    assert (len(a.requests), len(b.requests)) == (1, 0)


def test_each_server_once_then_one_error_that_tells_all(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.down = Unavailable("a is down")
    b.down = ModelNotFound("b has no m")
    error = error_of(router.infer(REQUEST, None))
    assert type(error) is Unavailable
    assert str(error) == "model 'm' failed on 2 servers: fake:a: a is down; fake:b: b has no m"
    assert (len(a.requests), len(b.requests)) == (1, 1)


def test_the_fallback_is_last_and_started_once_off_the_callers_thread(a: FakeTransport) -> None:
    fallback = FakeFallback(fake("fallback"))
    router = Router([a], fallback, ONCE)  # type: ignore[arg-type]
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert fallback.started == 0
    a.down = Unavailable("down")
    futures = [router.infer(REQUEST, None) for _ in range(3)]
    assert all(future.result(WAIT_S) for future in futures)
    assert fallback.thread.startswith("sonic-client")
    assert fallback.transport is not None
    assert len(fallback.transport.requests) == 3
    assert router.by_fallback() == {"m": 3}
    router.close()


def test_a_fallback_alone() -> None:
    router = Router([], FakeFallback(fake("fallback")))  # type: ignore[arg-type]
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert router.ask("m", lambda way, _: way.model_spec("m"), None) == SPEC
    assert router.by_fallback() == {"m": 1}  # a question is no request
    router.close()


def test_a_fallback_that_cannot_be_started(a: FakeTransport) -> None:
    a.down = Unavailable("down")
    router = Router([a], FakeFallback(None, Unavailable("no memory")), ONCE)  # type: ignore[arg-type]
    error = error_of(router.infer(REQUEST, None))
    assert str(error) == "model 'm' failed on 2 servers: fake:a: down; fake:fallback: no memory"
    router.close()


def test_without_any_server() -> None:
    router = Router([])
    assert str(error_of(router.infer(REQUEST, None))) == "model 'm': there is no server"
    with pytest.raises(Unavailable):
        router.ask("m", lambda way, _: way.model_spec("m"), None)
    router.close()


def test_the_deadline_holds_whatever_the_server_does(router: Router, a: FakeTransport) -> None:
    a.holding = True
    until_s = monotonic() + 0.05
    future = router.infer(REQUEST, until_s)
    error = error_of(future)
    assert type(error) is DeadlineExceeded
    assert str(error) == "request to model 'm' did not end within its deadline"
    assert monotonic() >= until_s
    held = a.held.get(timeout=WAIT_S)
    wait([held.future], WAIT_S)  # its owner may learn of the end before it is given up
    assert held.future.cancelled()
    assert 0 < held.request.timeout_s <= 0.05
    assert [(s.outstanding, s.failed) for s in router.statistics()] == [(0, 1), (0, 0)]


def test_the_deadline_covers_every_try(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.holding = b.holding = True
    future = router.infer(REQUEST, monotonic() + 0.5)
    a.held.get(timeout=WAIT_S).fail(Unavailable("later"))
    second = b.held.get(timeout=WAIT_S)
    assert second.request.timeout_s < 0.5
    assert type(error_of(future)) is DeadlineExceeded
    wait([second.future], WAIT_S)  # its owner may learn of the end before it is given up
    assert second.future.cancelled()


def test_an_answer_after_the_deadline_is_dropped(router: Router, a: FakeTransport) -> None:
    class Stubborn(FakeTransport):
        """Its requests cannot be given up."""

        def submit(self, request: InferRequest) -> Future[InferResponse]:
            future = super().submit(request)
            future.set_running_or_notify_cancel()
            return future

    stubborn = Stubborn([SPEC], lambda request: {}, "fake:s")
    stubborn.holding = True
    router = Router([stubborn])
    ends: list[object] = []
    future = router.infer(REQUEST, monotonic() + 0.02)
    future.add_done_callback(ends.append)
    assert type(error_of(future)) is DeadlineExceeded
    stubborn.held.get(timeout=WAIT_S).future.set_result(InferResponse("m", "1", {}))
    assert ends == [future]
    assert router.statistics()[0].outstanding == 0
    router.close()


def test_given_up_by_its_owner(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.holding = True
    future = router.infer(REQUEST, None)
    held = a.held.get(timeout=WAIT_S)
    assert future.cancel()
    assert held.future.cancelled()
    assert b.requests == []
    assert [(s.outstanding, s.completed, s.failed) for s in router.statistics()] == [(0, 0, 0), (0, 0, 0)]


def test_the_close_ends_everything(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.holding = b.holding = True
    futures = [router.infer(REQUEST, None) for _ in range(4)]
    router.close()
    router.close()
    sent = len(a.requests) + len(b.requests)
    for future in [*futures, router.infer(REQUEST, None)]:
        assert type(error_of(future)) is Cancelled
    assert len(a.requests) + len(b.requests) == sent
    assert a.closed
    assert b.closed


def test_a_transport_that_breaks_its_promise(router: Router, a: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(request: InferRequest) -> Future[InferResponse]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(a, "submit", submit)
    error = error_of(router.infer(REQUEST, None))
    assert type(error) is ModelFailed
    assert str(error) == "ZeroDivisionError: oops"


def test_retries_do_not_run_where_answers_come_from(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    threads: list[str] = []
    submit = b.submit
    b.submit = lambda request: (threads.append(current_thread().name), submit(request))[1]  # type: ignore[method-assign]
    a.down = Unavailable("down")
    assert router.infer(REQUEST, None).result(WAIT_S)
    assert threads[0].startswith("sonic-client")


def test_questions_go_on_to_the_next(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    a.down = Unavailable("down")
    assert router.ask("m", lambda way, _: way.model_spec("m"), None) == SPEC
    b.down = InvalidRequest("odd")
    with pytest.raises(InvalidRequest):
        router.ask("m", lambda way, _: way.model_spec("m"), None)
    with pytest.raises(DeadlineExceeded):
        router.ask("m", lambda way, _: way.model_spec("m"), monotonic() - 1)


def test_a_question_waits_for_a_server_that_comes_back(a: FakeTransport) -> None:
    timer = VirtualTimer()
    router = Router([a], settings=ClientSettings(backoff_s=1.0, jitter=0.0), timer=timer)
    a.down = Unavailable("restarting")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(router.ask, "m", lambda way, _: way.model_spec("m"), None)
        assert timer.wait_for(1, WAIT_S)
        a.down = None
        timer.advance(1.0)
        assert answer.result(WAIT_S) == SPEC
        a.down = Unavailable("restarting")
        answer = pool.submit(router.ask, "m", lambda way, _: way.model_spec("m"), None)
        assert timer.wait_for(1, WAIT_S)
        router.close()
        assert isinstance(answer.exception(WAIT_S), Cancelled)


def test_a_question_leaves_time_for_the_server_after(router: Router, a: FakeTransport, b: FakeTransport) -> None:
    waited_s: list[float] = []

    def ask(way: Transport, left_s: float | None) -> ModelSpec:
        assert left_s is not None
        waited_s.append(left_s)
        if len(waited_s) < 2:
            raise Unavailable("frozen")
        return way.model_spec("m")

    for limit_s in (4.0, 400.0):
        waited_s.clear()
        assert router.ask("m", ask, router.timer.now_s() + limit_s) == SPEC
        first_s, last_s = waited_s
        assert first_s <= min(limit_s / 2, 2 * router.settings.silence_s)
        assert last_s > limit_s / 2
    router.close()


def test_a_question_that_one_server_never_answers(a: FakeTransport) -> None:
    router = Router([a], settings=ClientSettings(backoff_s=0.0))
    a.down = Unavailable("down")
    with pytest.raises(Unavailable, match=r"^model 'm' failed in 7 attempts: fake:a: down \(7 times\)$"):
        router.ask("m", lambda way, _: way.model_spec("m"), None)
    router.close()


def test_every_request_ends_once_while_servers_come_and_go(a: FakeTransport, b: FakeTransport) -> None:
    router = Router([a, b], settings=ClientSettings(rest_s=0.0, backoff_s=0.0))
    generator = np.random.default_rng(7)
    outcomes = [None, Unavailable("x"), ModelNotFound("x"), ModelFailed("x"), DeadlineExceeded("x")]
    for transport in (a, b):
        transport.then(*(outcomes[n] for n in generator.integers(0, len(outcomes), 1000)))
    ends: list[object] = []
    futures = [router.infer(REQUEST, monotonic() + WAIT_S) for _ in range(500)]
    for future in futures:
        future.add_done_callback(ends.append)
    done = Event()
    router.infer(REQUEST, None).add_done_callback(lambda _: done.set())
    for future in futures:
        future.exception(WAIT_S)
    assert done.wait(WAIT_S)
    assert len(ends) == 500
    assert all(state.outstanding == 0 for state in router.statistics())
    router.close()


def test_a_model_is_sent_to_a_server_that_lists_it(a: FakeTransport) -> None:
    other = ModelSpec("other", "1", SPEC.inputs, SPEC.outputs)
    b = fake("b", other)
    router = Router([a, b], settings=ONCE)
    assert router.ask("other", lambda way, _: way.url, None) == "fake:b"
    with router._discovery._told:
        assert router._discovery._told.wait_for(lambda: not router._discovery._unasked, WAIT_S)
    for _ in range(5):
        assert router.infer(REQUEST, None).result(WAIT_S)
    assert (len(a.requests), len(b.requests)) == (5, 0)
    router.close()


def test_servers_are_listed_side_by_side_and_none_is_waited_for(a: FakeTransport, b: FakeTransport) -> None:
    both = Barrier(2, timeout=WAIT_S)
    release = Event()

    def slow(timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        both.wait()
        assert release.wait(WAIT_S)
        raise Unavailable("full")

    def quick(timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        both.wait()
        return (ModelStatus("m", "1", "READY"),)

    a.models = slow  # type: ignore[method-assign]
    b.models = quick  # type: ignore[method-assign]
    router = Router([a, b], settings=ONCE)
    try:
        assert router.ask("m", lambda way, _: way.model_spec("m"), None) == SPEC
        assert not release.is_set()
    finally:
        release.set()
        router.close()


def test_a_server_that_refuses_to_list_its_models_is_passed_over(a: FakeTransport, b: FakeTransport) -> None:
    def full(timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        raise Unavailable("full")

    a.models = full  # type: ignore[method-assign]
    router = Router([a, b], settings=ONCE)
    router.ask("m", lambda way, _: way.model_spec("m"), None)
    with router._discovery._told:
        assert router._discovery._told.wait_for(lambda: not router._discovery._unasked, WAIT_S)
    for _ in range(4):
        assert router.infer(REQUEST, None).result(WAIT_S)
    assert (len(a.requests), len(b.requests)) == (0, 4)
    router.close()
