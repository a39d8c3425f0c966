from __future__ import annotations

import subprocess
import sys
from queue import SimpleQueue
from threading import Barrier, Event, current_thread
from typing import TYPE_CHECKING

from sonic.client.workers import Workers
from sonic.errors import Cancelled

if TYPE_CHECKING:
    from threading import Thread

    import pytest

WAIT_S = 10.0


def no_more(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_several_at_a_time_but_no_more_than_most() -> None:
    workers = Workers(3, "test")
    together = Barrier(4)
    names: list[str] = []
    for _ in range(3):
        workers.run(lambda: (names.append(current_thread().name), together.wait(WAIT_S)))
    together.wait(WAIT_S)
    go = Event()
    started = [Event() for _ in range(4)]
    for event in started:
        workers.run(lambda event=event: (event.set(), go.wait(WAIT_S)))
    assert all(event.wait(WAIT_S) for event in started[:3])
    assert not started[3].is_set()
    go.set()
    assert started[3].wait(WAIT_S)
    assert set(names) == {"test-0", "test-1", "test-2"}
    workers.close()


def test_a_thread_that_is_idle_is_used_again() -> None:
    workers = Workers(8, "test")
    names: set[str] = set()
    for _ in range(20):
        done = Event()
        # The thread notes that it is idle just after it has set the event.
        workers.run(lambda done=done: (names.add(current_thread().name), done.set()))
        assert done.wait(WAIT_S)
    assert len(names) <= 8
    assert "test-0" in names
    workers.close()


def test_a_task_that_fails_takes_no_thread_with_it(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(1, "test")
    for fails in (lambda: 1 / 0, lambda: sys.exit(1)):
        done = Event()
        workers.run(fails)
        workers.run(done.set)
        assert done.wait(WAIT_S)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError, SystemExit]
    workers.close()


def test_a_task_does_not_wait_for_a_thread_that_has_just_taken_another() -> None:
    class SlowToTell(SimpleQueue[object]):
        def get(self, block: bool = True, timeout: float | None = None) -> object:
            task = super().get(block, timeout)
            if not taken.is_set():
                taken.set()
                go.wait(WAIT_S)
            return task

    workers = Workers(2, "test")
    taken, go, ended = Event(), Event(), Event()
    workers._tasks = SlowToTell()  # type: ignore[assignment]
    workers.run(lambda: None)
    assert taken.wait(WAIT_S)
    workers.run(ended.set)
    assert ended.wait(WAIT_S)
    go.set()
    workers.close()


def test_a_thread_with_nothing_to_do_ends_and_another_follows() -> None:
    workers = Workers(1, "test", idle_s=0.01)
    for _ in range(2):
        threads: SimpleQueue[Thread] = SimpleQueue()
        workers.run(lambda threads=threads: threads.put(current_thread()))
        thread = threads.get(timeout=WAIT_S)
        thread.join(WAIT_S)
        assert not thread.is_alive()
    workers.close()


def test_what_no_thread_can_be_had_for_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workers = Workers(2, "test")
    done: list[int] = []
    with monkeypatch.context() as full:
        full.setattr("threading.Thread.start", no_more)
        assert not workers.run(lambda: done.append(1))
        assert str(workers.refusal("the client")) == "the client can start no thread"
        assert workers.refusal("the client").retryable
    assert "thread test-0 cannot be started: can't start new thread" in caplog.text
    go, running, ended = Event(), Event(), Event()
    workers.run(lambda: (running.set(), go.wait(WAIT_S)))
    assert running.wait(WAIT_S)
    with monkeypatch.context() as full:
        full.setattr("threading.Thread.start", no_more)
        assert workers.run(ended.set), "the thread that there is takes it"
    go.set()
    assert ended.wait(WAIT_S)
    assert done == []
    workers.close()
    assert type(workers.refusal("the client")) is Cancelled


def test_closed() -> None:
    workers = Workers(1, "test")
    go, running, ended = Event(), Event(), Event()
    later: list[int] = []
    workers.run(lambda: (running.set(), go.wait(WAIT_S), ended.set()))
    assert running.wait(WAIT_S)
    workers.run(lambda: later.append(1))
    workers.close()
    assert not workers.run(lambda: later.append(2))
    go.set()
    assert ended.wait(WAIT_S)
    assert later == []


def test_a_hung_server_does_not_keep_a_program_from_its_end() -> None:
    program = """
import sonic
from sonic.testing.conformance import RudePeer
peers = [RudePeer(hang_up=False) for _ in range(2)]
for scheme, peer in zip(("grpc", "http"), peers):
    sonic.Model(f"{scheme}://{peer.target}/m").submit(x=[1])
    assert peer.connected.wait(10)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stderr) == (0, "")
