"""A server's event loop on virtual time: one thread, which deals by turns with what has come and with what it has left.

As uvloop does: all that is there when the loop looks is read, one after the other, then what was to be called soon is
called, then the loop looks again. An answer is written at once by whoever has read its request, and in the next turn
by what was called at the end of one.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from sonic.study.simulation.processor import Thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.simulation.processor import Processor

    Work = tuple[float, Callable[[], object]]


class Loop(Thread):
    """An event loop, whose actions can give it more to do."""

    def __init__(self, processor: Processor, wake_s: float = 0.0) -> None:
        super().__init__(processor, wake_s)
        self._soon: deque[Work] = deque()  # for the end of the turn
        self._turn: deque[Work] = deque()  # what was there when the loop looked
        self._next: list[Work] = []
        self._within = False
        self._reads = True

    def run(self, work_s: float, done: Callable[[], object]) -> None:
        """Deal with something that has come: do the work in the turn that finds it, and call `done` at its end."""
        self._waiting.append((work_s, done))
        if not self._runs:
            self._runs = self._reads = True
            self._go_on(self._wake_s)

    def soon(self, work_s: float, done: Callable[[], object]) -> None:
        """Do something at the end of the turn. For what the loop calls."""
        self._soon.append((work_s, done))

    def at_once(self, work_s: float, done: Callable[[], object]) -> None:
        """Do something before anything else. For what the loop calls."""
        self._next.append((work_s, done))

    def answer(self, work_s: float, done: Callable[[], object]) -> None:
        """Write an answer, whoever has it."""
        write = self.run if not self._within else self.at_once if self._reads else self.soon
        write(work_s, done)

    def _take(self) -> Work | None:
        if not self._turn:
            self._reads = bool(self._waiting) and not (self._reads and self._soon)
            if self._reads:
                self._turn, self._waiting = self._waiting, self._turn
            else:
                self._turn, self._soon = self._soon, self._turn
        return self._turn.popleft() if self._turn else None

    def _go_on(self, more_s: float = 0.0) -> None:
        while (work := self._take()) is not None:
            work_s, done = work
            if (work_s := work_s + more_s) > 0:
                self._processor.run(work_s, partial(self._ended, done))
                return
            self._call(done)
        self._runs = False

    def _ended(self, done: Callable[[], object]) -> None:
        self._call(done)  # first, unlike those of a plain thread: it may have more to do before anything else
        self._go_on()

    def _call(self, done: Callable[[], object]) -> None:
        self._within = True
        done()
        self._within = False
        self._turn.extendleft(reversed(self._next))
        self._next.clear()
