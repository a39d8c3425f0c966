from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from time import monotonic
from typing import TYPE_CHECKING

from sonic.client.deadline import Deadlines

if TYPE_CHECKING:
    from threading import Thread

    import pytest

WAIT_S = 10.0


def test_calls_in_order_of_time_however_they_were_set() -> None:
    deadlines = Deadlines()
    called: list[int] = []
    done = Event()
    start_s = monotonic()
    deadlines.set(start_s + 0.3, lambda: (called.append(3), done.set()))
    deadlines.set(start_s + 0.1, lambda: called.append(1))
    deadlines.set(start_s + 0.2, lambda: called.append(2))
    assert done.wait(WAIT_S)
    assert called == [1, 2, 3]
    assert monotonic() - start_s >= 0.3
    deadlines.close()


def test_one_withdrawn_is_not_called() -> None:
    deadlines = Deadlines()
    called: list[int] = []
    done = Event()
    first = deadlines.set(monotonic() + 0.02, lambda: called.append(1))
    deadlines.set(monotonic() + 0.03, done.set)
    first.withdraw()
    assert first.withdrawn
    assert done.wait(WAIT_S)
    assert called == []
    deadlines.close()


def test_one_that_fails_keeps_no_other_from_its_time(caplog: pytest.LogCaptureFixture) -> None:
    deadlines = Deadlines()
    for fails in (lambda: 1 / 0, lambda: sys.exit(1)):
        done = Event()
        deadlines.set(monotonic(), fails)
        deadlines.set(monotonic(), done.set)
        assert done.wait(WAIT_S)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError, SystemExit]
    deadlines.close()


def test_one_long_past_is_called_at_once() -> None:
    deadlines = Deadlines()
    done = Event()
    deadlines.set(monotonic() + 3600, lambda: None)
    deadlines.set(monotonic() - 1, done.set)
    assert done.wait(WAIT_S)
    deadlines.close()


def test_what_is_withdrawn_is_forgotten() -> None:
    deadlines = Deadlines()
    for _ in range(20):
        many = [deadlines.set(monotonic() + 3600, lambda: None) for _ in range(500)]
        done = Event()
        deadlines.set(monotonic(), done.set)  # which has them put in order
        assert done.wait(WAIT_S)
        for each in many:
            each.withdraw()
    assert len(deadlines._heap) + len(deadlines._new) < 3000
    for _ in range(5000):
        deadlines.set(monotonic() + 7200, lambda: None).withdraw()
    assert len(deadlines._heap) + len(deadlines._new) < 3000
    deadlines.close()


def test_one_that_is_due_before_all_others_is_in_time() -> None:
    deadlines = Deadlines()
    called: list[int] = []
    for number, later_s in enumerate((3600.0, 0.3, 1800.0, 0.1)):
        done = Event()
        deadlines.set(monotonic() + later_s, lambda number=number, done=done: (called.append(number), done.set()))
    assert done.wait(WAIT_S)
    assert called == [3]
    deadlines.close()


def test_set_from_many_threads_all_are_called() -> None:
    deadlines = Deadlines(idle_s=0.001)
    left = Semaphore(0)

    def some(thread: int) -> None:
        for number in range(100):
            deadlines.set(monotonic() + (thread + number) % 7 / 1000, left.release)
            deadlines.set(monotonic() + 60, left.release).withdraw()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(some, range(4)))
    assert all(left.acquire(timeout=WAIT_S) for _ in range(400))
    assert not left.acquire(blocking=False)
    deadlines.close()


def test_one_that_no_thread_could_be_had_for_is_kept_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    deadlines = Deadlines()
    called: list[int] = []
    done = Event()
    with monkeypatch.context() as full:
        full.setattr("threading.Thread.start", no_more)
        deadlines.set(monotonic(), lambda: called.append(1))
    deadlines.set(monotonic() + 0.02, done.set)
    assert done.wait(WAIT_S)
    assert called == [1]
    deadlines.close()


def test_the_thread_ends_at_the_close() -> None:
    deadlines = Deadlines()
    deadlines.close()
    assert deadlines.set(monotonic(), lambda: None).withdrawn
    deadlines = Deadlines()
    deadlines.set(monotonic() + 3600, lambda: None)
    thread = deadlines._thread
    assert thread is not None
    deadlines.close()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_a_thread_with_nothing_to_do_ends_and_another_follows() -> None:
    deadlines = Deadlines(idle_s=0.01)
    deadlines.set(monotonic() + 3600, lambda: None).withdraw()
    thread = deadlines._thread
    assert thread is not None
    thread.join(WAIT_S)
    assert not thread.is_alive()
    done = Event()
    deadlines.set(monotonic(), done.set)
    assert done.wait(WAIT_S)
    deadlines.close()
