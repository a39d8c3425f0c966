"""A few threads for what blocks, started when there is need."""

from __future__ import annotations

import logging
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from sonic.errors import Cancelled, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.errors import InferenceError

log = logging.getLogger("sonic.client")

IDLE_S = 10.0
"""For how long a thread waits for something to do. Then it ends, so that a client nobody closed leaves none behind."""


def begin(run: Callable[[], object], name: str) -> Thread | None:
    """Start a daemon; None if there is none to be had: of so many processes, or of an interpreter that ends."""
    thread = Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        log.warning("thread %s cannot be started: %s", name, error)
        return None
    return thread


class Workers:
    """Run tasks, several at a time. Thread-safe.

    The threads are daemons, unlike those of :mod:`concurrent.futures`: a server that hangs must not keep a program
    from its end.

    Parameters
    ----------
    most : int
        Most tasks at a time; others wait.
    name : str
        Beginning of the threads' names.
    idle_s : float
        How long a thread waits for a task before it ends.
    """

    def __init__(self, most: int, name: str, *, idle_s: float = IDLE_S) -> None:
        self._most = most
        self._name = name
        self._idle_s = idle_s
        self._tasks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._unfinished = 0
        self._closed = False

    def run(self, task: Callable[[], object]) -> bool:
        """Have a task run; False once closed, or if no thread can be had for it. What it raises is logged."""
        with self._lock:
            if self._closed:
                return False
            if self._threads < min(self._unfinished + 1, self._most):
                self._threads += begin(self._work, f"{self._name}-{self._threads}") is not None
            if not self._threads:
                return False
            self._tasks.put(task)
            self._unfinished += 1
            return True

    def refusal(self, owner: str) -> InferenceError:
        """Say why a task was not taken, for those who wait for what it would have done."""
        return Cancelled(f"{owner} is closed") if self._closed else Unavailable(f"{owner} can start no thread")

    def close(self) -> None:
        """Start no more tasks; those that run go on to their end."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._tasks.put(None)

    def _work(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=self._idle_s)
            except Empty:
                with self._lock:
                    if not self._tasks.empty():
                        continue
                    self._threads -= 1
                    return
            if self._closed or task is None:
                return
            try:
                task()
            except BaseException:  # the sys.exit() of a future's callback, too: it is not this thread's to end by
                log.exception("a task in the background failed")
            del task  # else it would live until the next one comes
            with self._lock:
                self._unfinished -= 1
