from __future__ import annotations

import gc
import sys
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed, wait
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from sonic.client.promise import Promise, as_inference_error
from sonic.errors import Cancelled, ModelFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


def test_ends_once() -> None:
    promise: Promise[int] = Promise()
    assert not promise.ended
    assert promise.resolve(1)
    assert promise.ended
    assert not promise.resolve(2)
    assert not promise.reject(Unavailable("late"))
    assert promise.result() == 1
    assert not promise.cancel()


def test_ends_once_when_many_try_at_once() -> None:
    for _ in range(50):
        promise: Promise[int] = Promise()
        ends: list[int] = []
        promise.add_done_callback(lambda _, ends=ends: ends.append(1))
        barrier = Barrier(4)

        def attempt(number: int, promise: Promise[int] = promise, barrier: Barrier = barrier) -> bool:
            barrier.wait()
            if number == 3:
                return promise.cancel()
            return promise.resolve(number) if number % 2 else promise.reject(Unavailable(str(number)))

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(attempt, range(4))) == 1
        assert ends == [1]


def test_its_owner_can_give_it_up() -> None:
    calls: list[int] = []
    promise: Promise[int] = Promise()
    promise.on_end(lambda ended: calls.append(ended is promise))
    assert promise.cancel()
    assert promise.ended
    assert not promise.resolve(1)
    assert calls == [True]
    assert promise.cancel()
    # Those who wait for several futures learn of it too.
    assert list(as_completed([promise], timeout=5)) == [promise]
    assert not wait([promise], 5).not_done


def test_follows_another() -> None:
    source: Future[int] = Future()
    promise: Promise[str] = Promise()
    promise.follow(source, str)
    source.set_result(3)
    assert promise.result(0) == "3"


@pytest.mark.parametrize(
    ("error", "kind"), [(Unavailable("down"), Unavailable), (KeyError("x"), ModelFailed), (CancelledError(), Cancelled)]
)
def test_follows_into_an_error(error: BaseException, kind: type[Exception]) -> None:
    source: Future[int] = Future()
    promise: Promise[str] = Promise()
    promise.follow(source, str)
    source.set_exception(error)
    assert type(promise.exception(0)) is kind


def test_a_conversion_that_fails_is_the_end() -> None:
    source: Future[int] = Future()
    promise: Promise[float] = Promise()
    promise.follow(source, lambda value: 1 / value)
    source.set_result(0)
    assert str(promise.exception(0)) == "ZeroDivisionError: division by zero"


def test_gives_up_what_it_follows() -> None:
    source: Future[int] = Future()
    promise: Promise[str] = Promise()
    promise.follow(source, str)
    promise.cancel()
    assert source.cancelled()


def test_errors_keep_their_cause() -> None:
    cause = KeyError("x")
    error = as_inference_error(cause)
    assert isinstance(error, ModelFailed)
    assert error.__cause__ is cause


def test_hooks_are_called_at_the_end_or_at_once() -> None:
    calls: list[int] = []
    promise: Promise[int] = Promise()
    promise.on_end(lambda ended: calls.append(ended.result()))
    assert calls == []
    promise.resolve(1)
    promise.on_end(lambda ended: calls.append(ended.result() + 1))
    assert calls == [1, 2]


@pytest.mark.parametrize("end", [Promise.cancel, lambda p: p.resolve(1), lambda p: p.reject(Unavailable("x"))])
def test_a_hook_that_fails_keeps_no_other_from_being_called(
    end: Callable[[Promise[int]], object], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    promise: Promise[int] = Promise()
    promise.on_end(lambda _: {}["absent"])
    promise.on_end(lambda _: calls.append(1))
    assert end(promise)
    assert calls == [1]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize("end", [Promise.cancel, lambda p: p.resolve(1), lambda p: p.reject(Unavailable("x"))])
@pytest.mark.parametrize("how", [Promise.add_done_callback, Promise.on_end])
def test_an_exit_goes_on_its_way_when_all_hooks_are_called(
    end: Callable[[Promise[int]], object], how: Callable[[Promise[int], Callable[[object], object]], object]
) -> None:
    calls: list[int] = []
    promise: Promise[int] = Promise()
    source: Promise[int] = Promise()
    promise.cancels(source)
    how(promise, lambda _: sys.exit(1))
    promise.on_end(lambda _: calls.append(1))
    with pytest.raises(SystemExit):
        end(promise)
    assert calls == [1]
    assert source.cancelled() is promise.cancelled()
    assert not wait([promise], 5).not_done


def test_an_end_leaves_no_cycle() -> None:
    gc.disable()
    try:
        for end in (Promise.cancel, lambda p: p.resolve(1), lambda p: p.reject(Unavailable("x"))):
            source: Promise[int] = Promise()
            promise: Promise[int] = Promise()
            promise.follow(source, lambda value: value)
            promise.on_end(lambda _, promise=promise: promise.ended)
            end(promise)
            end(source)
            alive = weakref.ref(promise), weakref.ref(source)
            del promise, source
            assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


def test_an_error_holds_none_of_the_frames_it_passed() -> None:
    promise: Promise[int] = Promise()
    try:
        raise Unavailable("x")
    except Unavailable as error:
        promise.reject(error)
    error = promise.exception()
    assert error is not None
    assert error.__traceback__ is None


def test_what_it_cancels_is_given_up_with_it_alone() -> None:
    for end, expected in ((Promise.cancel, True), (lambda p: p.resolve(1), False)):
        for before in (True, False):
            source: Promise[int] = Promise()
            promise: Promise[int] = Promise()
            if before:
                promise.cancels(source)
            end(promise)
            if not before:
                promise.cancels(source)
            assert source.cancelled() is expected
