from __future__ import annotations

import threading

import pytest

from sonic.framework.ledger import Ledger
from sonic.framework.workers import Workers

TIMEOUT_S = 20.0


def crew(threads=1):
    given_up = []
    return Workers(threads, Ledger([], threads), lambda: 0, lambda: given_up.append(True)), given_up


def test_what_is_most_urgent_goes_first_and_booking_is_under_the_lock():
    workers, given_up = crew()
    order = []

    def action(name):
        def settle():
            order.append((name, workers.lock.locked()))
            if name == "last":
                workers.end()

        def act(number):
            assert not workers.lock.locked()
            return settle

        return act

    workers.push(9, 0, action("last"))
    workers.push(1, 1, action("b"))
    workers.push(1, 0, action("a"))
    workers.push(1, 1, action("c"))
    workers.push_opening(2, 0, lambda: workers.push(0, 0, action("opened")))
    workers.run(lambda: order.append("start"))
    assert order == ["start", *((name, True) for name in ("a", "b", "c", "opened", "last"))]
    assert given_up == []


def test_an_error_ends_all_threads_and_nothing_else_is_begun():
    workers, given_up = crew(threads=3)
    begun = []

    def fails(number):
        raise KeyError("first")

    workers.push(0, 0, fails)
    workers.push(1, 0, lambda number: begun.append(number) or (workers.over.wait(TIMEOUT_S) and (lambda: None)))
    with pytest.raises(KeyError, match="first"):
        workers.run(lambda: None)
    assert given_up
    assert len(begun) <= 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sonic-worker")]


def test_an_error_before_the_threads_are_there():
    workers, given_up = crew()

    def start():
        raise OSError("no more threads")

    with pytest.raises(OSError, match="no more threads"):
        workers.run(start)
    assert given_up == [True]
