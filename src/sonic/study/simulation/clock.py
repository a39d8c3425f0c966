"""Virtual time. Pure: what happens next is what was set for the earliest time."""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

from sonic.client.deadline import Deadline
from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class Clock:
    """Time that passes from event to event, in seconds from 0; a :class:`~sonic.client.deadline.Timer` as well.

    Attributes
    ----------
    steps : int
        Events that have been set.

    Raises
    ------
    ConfigError
        If simpy is not installed.
    """

    def __init__(self) -> None:
        try:
            import simpy
        except ImportError:
            raise ConfigError("a simulation needs simpy: pip install 'sonic-hep[study]'") from None
        self._environment = simpy.Environment()
        self.steps = 0
        self._deadlines: list[tuple[float, int, Deadline]] = []
        self._ticket = count()
        self._wakes_s = inf

    def now_s(self) -> float:
        """Return the time."""
        now_s: float = self._environment.now
        return now_s

    def after(self, delay_s: float, action: Callable[[], object]) -> None:
        """Have `action` called so much later."""
        self.steps += 1
        callbacks: list[Any] = self._environment.timeout(delay_s).callbacks
        callbacks.append(lambda _: action())

    def process(self, steps: Generator[Any, Any, Any]) -> None:
        """Run a process of simpy: it yields what :meth:`sleep` gives."""
        self._environment.process(steps)

    def sleep(self, delay_s: float) -> Any:
        """Return what a process yields to wait."""
        self.steps += 1
        return self._environment.timeout(delay_s)

    def set(self, at_s: float, action: Callable[[], object]) -> Deadline:
        """Have `action` called at `at_s`, unless it is withdrawn before."""
        # Nearly all are withdrawn: they are kept apart, and only the first of them is an event.
        deadline = Deadline(action)
        heapq.heappush(self._deadlines, (at_s, next(self._ticket), deadline))
        if at_s < self._wakes_s:
            self._wake(at_s)
        return deadline

    def run(self, until_s: float = inf) -> None:
        """Let time pass until then, or as long as anything is set."""
        self._environment.run(None if until_s == inf else until_s)

    def close(self) -> None:
        """Call no more actions of deadlines."""
        self._deadlines.clear()

    def _wake(self, at_s: float) -> None:
        self._wakes_s = at_s
        self.after(max(0.0, at_s - self.now_s()), self._due)

    def _due(self) -> None:
        now_s = self.now_s()
        if now_s < self._wakes_s:  # an earlier one has seen to it
            return
        self._wakes_s = inf
        while self._deadlines and (self._deadlines[0][2].withdrawn or self._deadlines[0][0] <= now_s):
            heapq.heappop(self._deadlines)[2].pass_()
        if self._deadlines and self._deadlines[0][0] < self._wakes_s:
            self._wake(self._deadlines[0][0])
