"""Threads that take whatever is most urgent. They know nothing of chunks and modules.

What a thread executes has two halves: it works without the lock, and returns what is to be booked under it. Booking
and taking what is next is one visit to the lock.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.framework.ledger import Ledger

    # What a thread, by its number, executes. It returns what is to be done about it under the lock.
    Action = Callable[[int], Callable[[], None]]

_SIGNALS_S = 1.0
"""How often the thread that waits looks up: a signal that comes just as it begins to wait would not wake it."""


class Workers:
    """Threads, and the queue that they take their work from. Used once.

    Parameters
    ----------
    threads : int
    ledger : Ledger
        Told how many of them are busy.
    clock : callable
        Nanoseconds since the job began.
    give_up : callable
        Called once, without the lock, when all work is given up.

    Attributes
    ----------
    lock : Lock
        Guards the queue, and whatever the actions book.
    over : Event
        Set when nothing is begun any more.
    """

    def __init__(self, threads: int, ledger: Ledger, clock: Callable[[], int], give_up: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._wake = threading.Condition(self.lock)
        self._threads = threads
        self._ledger = ledger
        self._clock = clock
        self._give_up = give_up
        self._idle = 0
        self._heap: list[tuple[int, int, int, Action | None, Callable[[], None] | None]] = []
        self._pushed = 0
        self._error: BaseException | None = None

    def push(self, urgency: int, index: int, action: Action) -> None:
        """Make something ready (lock held). Lower urgency goes first, then lower index, then what came first."""
        self._pushed += 1
        heappush(self._heap, (urgency, index, self._pushed, action, None))

    def push_opening(self, urgency: int, index: int, opening: Callable[[], None]) -> None:
        """Have a thread that finds nothing more urgent call `opening` under the lock, which makes more ready."""
        self._pushed += 1
        heappush(self._heap, (urgency, index, self._pushed, None, opening))

    def wake(self) -> None:
        """Wake a thread for what came from elsewhere than an action (lock held)."""
        if self._idle and self._heap:
            self._wake.notify()

    def end(self) -> None:
        """Begin nothing any more (lock held)."""
        self.over.set()
        self._wake.notify_all()

    def abort(self, error: BaseException) -> None:
        """Give up: the first error stays, and threads end."""
        with self.lock:
            if self._error is None and not self.over.is_set():
                self._error = error
            self._heap.clear()
            self.end()
        self._give_up()

    def run(self, start: Callable[[], None]) -> None:
        """Start the threads and return when all have ended; `start` is called before.

        Raises
        ------
        BaseException
            What :meth:`abort` was called with first, or a signal's handler raised.
        """
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"sonic-worker-{number}", daemon=True)
            for number in range(self._threads)
        ]
        try:
            start()
            for thread in threads:
                thread.start()
            while not self.over.wait(_SIGNALS_S):
                pass
        except BaseException as error:  # Ctrl-C: give up everything, then let it pass
            self.abort(error)
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self._error is not None:
            raise self._error

    def _work(self, number: int) -> None:
        settle: list[Callable[[], None]] = []  # at most one: handed over, so that nothing else holds on to it
        try:
            while (action := self._exchange(settle)) is not None:
                settle.append(action(number))
                action = None  # an idle thread holds no chunk
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that called run()
            self.abort(error)

    def _exchange(self, settle: list[Callable[[], None]]) -> Action | None:
        """Book what has been done and take what is to be done next; None at the end."""
        with self.lock:
            now_ns = self._clock()
            was_busy = bool(settle)
            if was_busy and not self.over.is_set():
                settle[0]()
            settle.clear()
            while not self._heap or self.over.is_set():
                if was_busy:
                    self._ledger.busy(now_ns, -1)
                    was_busy = False
                if self.over.is_set():
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1
            if not was_busy:
                self._ledger.busy(self._clock(), +1)
            _, _, _, action, opening = heappop(self._heap)
            while opening is not None:
                opening()
                _, _, _, action, opening = heappop(self._heap)
            if self._heap and self._idle:
                self._wake.notify(len(self._heap))
            return action
