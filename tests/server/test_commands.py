from __future__ import annotations

import threading
from typing import Any

import pytest

from sonic.server.commands import Commands


def test_as_many_at_a_time_as_there_may_be() -> None:
    commands, gate, together = Commands("commands", most=2), threading.Event(), threading.Barrier(3)

    def hold(name: str) -> str:
        together.wait(10)
        gate.wait(10)
        return name

    futures = [commands.submit(hold, name) for name in ("one", "two")]
    together.wait(10)
    third = commands.submit(gate.is_set)
    assert not third.running()
    gate.set()
    assert [future.result(10) for future in futures] == ["one", "two"]
    assert third.result(10)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2)])
def test_an_exception_is_the_callers_and_the_next_goes_on(error: BaseException) -> None:
    def fails() -> None:
        raise error

    commands = Commands("commands")
    assert commands.submit(fails).exception(10) is error
    assert commands.submit(lambda: 3).result(10) == 3


def test_what_is_cancelled_is_not_called() -> None:
    commands, gate, called = Commands("commands", most=1), threading.Event(), []
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


def test_what_found_no_thread_is_not_called_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    commands, called = Commands("commands", most=1), []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            commands.submit(called.append, 1)
    assert commands.submit(int).result(10) == 0
    assert called == []
