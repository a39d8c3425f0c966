"""Time that passes only when a test says so."""

from __future__ import annotations

import heapq
from itertools import count
from threading import Condition
from typing import TYPE_CHECKING

from sonic.client.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable


class VirtualTimer:
    """A :class:`~sonic.client.deadline.Timer` on virtual time, in seconds from 0. Thread-safe."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._heap: list[tuple[float, int, Deadline]] = []
        self._ticket = count()
        self._changed = Condition()

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    def set(self, at_s: float, action: Callable[[], object]) -> Deadline:
        """Have `action` called, by whoever advances the time, at `at_s`."""
        deadline = Deadline(action)
        with self._changed:
            heapq.heappush(self._heap, (at_s, next(self._ticket), deadline))
            self._changed.notify_all()
        return deadline

    def wait_for(self, actions: int, timeout_s: float) -> bool:
        """Wait, in real time, until so many actions are set; whether they were."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(not deadline.withdrawn for _, _, deadline in self._heap) >= actions, timeout_s
            )

    def advance(self, by_s: float) -> None:
        """Let time pass, and do what falls into it, in order."""
        until_s = self._now_s + by_s
        while True:
            with self._changed:
                if not self._heap or self._heap[0][0] > until_s:
                    self._now_s = until_s
                    return
                at_s, _, deadline = heapq.heappop(self._heap)
                if not deadline.withdrawn:
                    self._now_s = max(self._now_s, at_s)
            deadline.pass_()

    def close(self) -> None:
        """Call no more actions."""
        with self._changed:
            self._heap.clear()
