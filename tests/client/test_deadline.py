from __future__ import annotations

from threading import Event
from time import monotonic

from sonic.client.deadline import Deadlines

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


def test_one_long_past_is_called_at_once() -> None:
    deadlines = Deadlines()
    done = Event()
    deadlines.set(monotonic() + 3600, lambda: None)
    deadlines.set(monotonic() - 1, done.set)
    assert done.wait(WAIT_S)
    deadlines.close()


def test_what_is_withdrawn_is_forgotten() -> None:
    deadlines = Deadlines()
    for _ in range(5000):
        deadlines.set(monotonic() + 3600, lambda: None).withdraw()
    assert len(deadlines._heap) < 2000
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
