"""One thread that does things at given times: what holds a client to its deadlines, whatever its servers do."""

from __future__ import annotations

import heapq
import logging
from itertools import count
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from sonic.client.workers import IDLE_S, begin

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

log = logging.getLogger("sonic.client")

LONGEST_S = 1e9
"""A time limit is shorter, some thirty years: what threads and transports can count to ends not far beyond."""

_NEVER = float("inf")


class Deadline:
    """Something to be done at a time, unless it is withdrawn before."""

    __slots__ = ("_action", "_among")

    def __init__(self, action: Callable[[], object], among: dict[Deadline, float] | None = None) -> None:
        self._action: Callable[[], object] | None = action
        self._among = among

    @property
    def withdrawn(self) -> bool:
        """Whether there is nothing left to do."""
        return self._action is None

    def withdraw(self) -> None:
        """Do not do it; nothing happens if it is done already."""
        self._action = None
        if self._among is not None:
            self._among.pop(self, None)

    def pass_(self) -> None:
        """Do it."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Timer(Protocol):
    """A clock that can be asked, and told to do something later. Thread-safe."""

    def now_s(self) -> float:
        """Return the time."""

    def set(self, at_s: float, action: Callable[[], object]) -> Deadline:
        """Have `action` called at `at_s`; never, once closed. It must not block."""

    def close(self) -> None:
        """Call no more actions."""


class Deadlines:
    """Calls actions at their times, from one thread that is started when the first is set.

    Times are those of :func:`time.monotonic`, in seconds. Actions must not block; what one raises is logged.

    Nearly every deadline of a request is withdrawn long before its time. So a new one is only noted, for the thread
    to put in order with others when it wakes up next, which is before any of them is due.

    Parameters
    ----------
    idle_s : float
        How long the thread waits for another action before it ends.
    """

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._new: dict[Deadline, float] = {}
        self._heap: list[tuple[float, int, Deadline]] = []
        self._ticket = count()
        self._wakes_s = _NEVER
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closed = False

    def now_s(self) -> float:
        """Return :func:`time.monotonic`."""
        return monotonic()

    def set(self, at_s: float, action: Callable[[], object]) -> Deadline:
        """Have `action` called at `at_s`; never, once closed."""
        deadline = Deadline(action, self._new)
        self._new[deadline] = at_s
        # The thread says that it will never wake before it looks at what is new: either it sees this, or we see that.
        if at_s < self._wakes_s:
            self._wake(deadline, at_s)
        return deadline

    def close(self) -> None:
        """Call no more actions, and end the thread."""
        with self._changed:
            self._closed = True
            self._wakes_s = _NEVER
            self._heap.clear()
            self._new.clear()
            self._changed.notify()

    def _wake(self, deadline: Deadline, at_s: float) -> None:
        with self._changed:
            if self._closed:
                deadline.withdraw()
            elif self._thread is None:
                self._thread = begin(self._run, "sonic-deadlines")  # if there is none now, the next one set may get one
            elif at_s < self._wakes_s:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (deadline := self._due()) is None:
                    if self._closed:
                        return
                    idle = self._wakes_s == _NEVER
                    woken = self._changed.wait(min(max(0.0, self._wakes_s - monotonic()), self._idle_s))
                    if idle and not woken and not self._new:
                        self._thread = None
                        return
            try:
                deadline.pass_()
            except BaseException:  # the sys.exit() of a future's callback, too: it is not this thread's to end by
                log.exception("what was to be done at a deadline failed")

    def _due(self) -> Deadline | None:
        """Take what is due; else say when the thread is to wake up."""
        self._wakes_s = _NEVER
        for deadline in list(self._new):
            at_s = self._new.pop(deadline, None)
            if at_s is not None:
                heapq.heappush(self._heap, (at_s, next(self._ticket), deadline))
        if len(self._heap) > 1024 and sum(d.withdrawn for _, _, d in self._heap) * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].withdrawn]
            heapq.heapify(self._heap)
        while self._heap and self._heap[0][2].withdrawn:
            heapq.heappop(self._heap)
        if self._closed or not self._heap:
            return None
        at_s, _, deadline = self._heap[0]
        if at_s <= monotonic():
            heapq.heappop(self._heap)
            return deadline
        self._wakes_s = at_s
        return None
