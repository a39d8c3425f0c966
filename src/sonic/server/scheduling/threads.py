"""The threads of a scheduler: started when they are first needed, asleep while there is nothing to do."""

from __future__ import annotations

import logging
import threading
from math import inf
from typing import TYPE_CHECKING

from sonic.server.scheduling.job import NEVER_S

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("sonic.server")


class Threads:
    """Threads that all do the same. The lock is held in every call of a method.

    Parameters
    ----------
    lock : Lock
        Their owner's.
    most : int
        Threads, at most.
    name : str
        Beginning of their names.
    work : callable
        What a thread does; it ends with it. The lock is not held. One that ends by an error makes room for another.
    """

    def __init__(self, lock: threading.Lock, most: int, name: str, work: Callable[[], None]) -> None:
        self._most = most
        self._name = name
        self._work = work
        self._called = threading.Condition(lock)
        self._threads: list[threading.Thread] = []
        self._busy: set[threading.Thread] = set()
        self._asleep: dict[threading.Thread, float] = {}  # and until when

    def call(self, at_s: float = -inf) -> bool:
        """Have somebody look again at that time, or at once: one that sleeps longer, or a new one.

        If all have something to do, nothing happens: they look again after it.

        Returns
        -------
        bool
            False if nobody will, since there is no thread and the system gives none.
        """
        if self._asleep:
            if at_s < min(self._asleep.values()):
                self._called.notify()
        elif len(self._threads) < self._most:
            thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                log.error("%s is not there: %s", thread.name, error)
            else:
                self._threads.append(thread)
        return bool(self._threads)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:
            thread = threading.current_thread()
            with self._called:
                self._threads.remove(thread)
                self._busy.discard(thread)
                self._asleep.pop(thread, None)
            raise

    def sleep(self, now_s: float, until_s: float) -> None:
        """Let the calling thread, one of them, sleep until it is called or the time has come."""
        thread = threading.current_thread()
        self._asleep[thread] = until_s
        timeout_s = until_s - now_s
        self._called.wait(None if timeout_s > NEVER_S else max(0.0, timeout_s))
        del self._asleep[thread]

    def begin(self) -> None:
        """Note that the calling thread has something to do that may take for ever."""
        self._busy.add(threading.current_thread())

    def end(self) -> None:
        """Note that it is done with that."""
        self._busy.discard(threading.current_thread())

    def wake(self) -> list[threading.Thread]:
        """Wake all; return those other than the calling one that are not busy."""
        self._called.notify_all()
        return [each for each in self._threads if each not in self._busy and each is not threading.current_thread()]
