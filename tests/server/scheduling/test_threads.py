from __future__ import annotations

import threading
import time
from collections import Counter
from math import inf
from typing import TYPE_CHECKING

import pytest

from sonic.server.scheduling.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG_S = 20.0


class Owner:
    """Gives its threads functions to run; a thread sleeps while there is none."""

    def __init__(self, most: int) -> None:
        self.lock = threading.Lock()
        self.threads = Threads(self.lock, most, "hand", self.work)
        self.tasks: list[Callable[[], None]] = []
        self.until_s = inf
        self.closed = False
        self.asleep = threading.Semaphore(0)
        self.runs: Counter[str] = Counter()

    def work(self) -> None:
        while True:
            task = None
            with self.lock:
                self.threads.end()
                if self.tasks:
                    task = self.tasks.pop()
                    self.threads.begin()
                elif self.closed:
                    return
                else:
                    self.asleep.release()
                    self.threads.sleep(time.monotonic(), self.until_s)
            if task is not None:
                task()
                self.runs[threading.current_thread().name] += 1

    def give(self, task: Callable[[], None]) -> None:
        with self.lock:
            self.tasks.append(task)
            self.threads.call()

    def close(self) -> list[threading.Thread]:
        with self.lock:
            self.closed = True
            return self.threads.wake()


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner(2)
    yield owner
    for thread in owner.close():
        thread.join(LONG_S)
        assert not thread.is_alive()


def test_one_that_sleeps_is_woken_before_another_is_started(owner: Owner) -> None:
    for _ in range(3):
        ran = threading.Event()
        owner.give(ran.set)
        assert ran.wait(LONG_S)
        assert owner.asleep.acquire(timeout=LONG_S)
    assert owner.runs == {"hand-0": 3}


def test_no_more_are_started_than_asked_for_and_those_that_are_busy_are_not_waited_for(owner: Owner) -> None:
    gate, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        gate.wait(LONG_S)

    for _ in range(2):
        owner.give(hang)
        assert entered.acquire(timeout=LONG_S)
    ran = threading.Event()
    owner.give(ran.set)
    assert sum(thread.name.startswith("hand-") for thread in threading.enumerate()) == 2
    assert owner.close() == []
    gate.set()
    assert ran.wait(LONG_S)  # by one that looks again once it is done


@pytest.mark.parametrize("timeout_s", [0.0, -inf, 1e-3])
def test_who_sleeps_looks_again_when_the_time_has_come(timeout_s: float, owner: Owner) -> None:
    owner.until_s = time.monotonic() + timeout_s
    ran = threading.Event()
    owner.give(lambda: None)
    for _ in range(2):
        assert owner.asleep.acquire(timeout=LONG_S)
    with owner.lock:
        owner.tasks.append(ran.set)  # and nobody is called
    assert ran.wait(LONG_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_ends_by_an_error_makes_room_for_another(owner: Owner) -> None:
    for _ in range(3):  # more than there may be at a time
        owner.give(lambda: 1 / 0)
        for thread in threading.enumerate():
            if thread.name.startswith("hand-"):
                thread.join(LONG_S)
    ran = threading.Event()
    owner.give(ran.set)
    assert ran.wait(LONG_S)
    assert len(owner.close()) == 1


def test_one_that_the_system_does_not_give_is_not_counted(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, owner.lock:
        patched.setattr(threading.Thread, "start", refuse)
        assert not any(owner.threads.call() for _ in range(3))  # more than there may be at a time
    ran = threading.Event()
    owner.give(ran.set)
    assert ran.wait(LONG_S)


def test_who_will_look_in_time_sleeps_on(owner: Owner) -> None:
    owner.until_s = time.monotonic() + LONG_S
    owner.give(lambda: None)
    assert owner.asleep.acquire(timeout=LONG_S)
    with owner.lock:
        owner.threads.call(owner.until_s)
        owner.threads.call(owner.until_s + 1)
    assert not owner.asleep.acquire(timeout=0.05)  # nobody has looked and gone to sleep again
    with owner.lock:
        owner.threads.call(owner.until_s - 1)
    assert owner.asleep.acquire(timeout=LONG_S)
    assert owner.runs == {"hand-0": 1}
