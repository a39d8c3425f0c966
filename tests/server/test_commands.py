from __future__ import annotations

import threading
from typing import Any

import pytest

from sonic.server.commands import Commands


def test_one_after_the_other() -> None:
    commands, gate, done = Commands("commands"), threading.Event(), []

    def first() -> str:
        gate.wait(10)
        done.append("first")
        return "one"

    futures = [commands.submit(first), commands.submit(done.append, "second")]
    assert not any(future.done() for future in futures)
    gate.set()
    assert [future.result(10) for future in futures] == ["one", None]
    assert done == ["first", "second"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2)])
def test_an_exception_is_the_callers_and_the_next_goes_on(error: BaseException) -> None:
    def fails() -> None:
        raise error

    commands = Commands("commands")
    assert commands.submit(fails).exception(10) is error
    assert commands.submit(lambda: 3).result(10) == 3


def test_what_is_cancelled_is_not_called() -> None:
    commands, gate, called = Commands("commands"), threading.Event(), []
    first = commands.submit(gate.wait, 10)
    second = commands.submit(called.append, 1)
    assert second.cancel()
    gate.set()
    first.result(10)
    commands.submit(int).result(10)
    assert called == []


def test_the_thread_is_none_that_the_interpreter_waits_for_and_ends_when_all_is_done(until: Any) -> None:
    commands = Commands("commands")
    thread = commands.submit(threading.current_thread).result(10)
    assert thread.daemon
    until(lambda: not thread.is_alive())
    assert commands.submit(threading.current_thread).result(10) is not thread
