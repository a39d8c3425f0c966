"""One thread that does things at given times: what holds a client to its deadlines, whatever its servers do."""

from __future__ import annotations

import heapq
from itertools import count
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from sonic.client.workers import IDLE_S

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """Something to be done at a time, unless it is withdrawn before."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self._action: Callable[[], object] | None = action

    @property
    def withdrawn(self) -> bool:
        """Whether there is nothing left to do."""
        return self._action is None

    def withdraw(self) -> None:
        """Do not do it; nothing happens if it is done already."""
        self._action = None

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

    Times are those of :func:`time.monotonic`, in seconds. Actions must not block.

    Parameters
    ----------
    idle_s : float
        How long the thread waits for another action before it ends.
    """

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._heap: list[tuple[float, int, Deadline]] = []
        self._ticket = count()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closed = False

    def now_s(self) -> float:
        """Return :func:`time.monotonic`."""
        return monotonic()

    def set(self, at_s: float, action: Callable[[], object]) -> Deadline:
        """Have `action` called at `at_s`; never, once closed."""
        deadline = Deadline(action)
        with self._changed:
            if self._closed:
                deadline.withdraw()
                return deadline
            if len(self._heap) > 1024 and sum(d.withdrawn for _, _, d in self._heap) * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if not entry[2].withdrawn]
                heapq.heapify(self._heap)
            heapq.heappush(self._heap, (at_s, next(self._ticket), deadline))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="sonic-deadlines", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is deadline:
                self._changed.notify()
        return deadline

    def close(self) -> None:
        """Call no more actions, and end the thread."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > monotonic()):
                    if self._heap and self._heap[0][2].withdrawn:
                        heapq.heappop(self._heap)
                    elif self._heap:
                        self._changed.wait(min(max(0.0, self._heap[0][0] - monotonic()), self._idle_s))
                    elif not self._changed.wait(self._idle_s) and not self._heap:
                        self._thread = None
                        return
                if self._closed:
                    return
                _, _, deadline = heapq.heappop(self._heap)
            deadline.pass_()
