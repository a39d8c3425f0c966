"""Processors on virtual time: cores shared in equal parts, and single threads that run on them. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.simulation.clock import Clock


class Task:
    """Something that runs on a processor."""

    __slots__ = ("done", "ends", "threads")

    def __init__(self, done: Callable[[], object], threads: float, ends: float) -> None:
        self.done: Callable[[], object] | None = done
        self.threads = threads
        self.ends = ends

    def end(self) -> None:
        """Call who waits for its end, once."""
        done, self.done = self.done, None
        if done is not None:
            done()


class Processor:
    """Cores that all who want to run share equally, as a fair scheduler shares them (processor sharing).

    While no more threads want to run than there are cores, each has one; else each has its part.

    Parameters
    ----------
    clock : Clock
    cores : float
        Of a GPU 1: what runs on it at the same time shares it. Infinite: nobody disturbs anybody.
    """

    def __init__(self, clock: Clock, cores: float = inf) -> None:
        self.cores = cores
        self._clock = clock
        # Progress is measured by a clock of its own, which runs slower the more threads there are: all that runs has
        # its end on it, whoever comes or goes meanwhile.
        self._own_s = 0.0
        self._seen_s = 0.0
        self._wanted = 0.0
        self._heap: list[tuple[float, int, Task]] = []
        self._started = 0
        self._set = 0
        self._busy_s = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds of cores used so far."""
        self._progress()
        return self._busy_s

    def run(self, work_s: float, done: Callable[[], object], threads: float = 1.0) -> Task:
        """Run something.

        Parameters
        ----------
        work_s : float
            How long it takes with a core for each of its threads.
        done : callable
            Called at its end.
        threads : float
        """
        self._progress()
        task = Task(done, threads, self._own_s + work_s)
        self._started += 1
        heapq.heappush(self._heap, (task.ends, self._started, task))
        before = self._rate()
        self._wanted += threads
        if self._heap[0][2] is task or self._rate() != before:
            self._watch()
        return task

    def stop(self, task: Task) -> None:
        """End something before its time; nobody is told."""
        if task.done is None:
            return
        self._progress()
        task.done = None
        self._wanted -= task.threads
        self._watch()

    def _rate(self) -> float:
        return 1.0 if self._wanted <= self.cores else self.cores / self._wanted

    def _progress(self) -> None:
        now_s = self._clock.now_s()
        past_s, self._seen_s = now_s - self._seen_s, now_s
        own_s = past_s * self._rate()
        self._own_s += own_s
        self._busy_s += own_s * self._wanted

    def _watch(self) -> None:
        while self._heap and self._heap[0][2].done is None:
            heapq.heappop(self._heap)
        self._set += 1
        if self._heap:
            left_s = max(0.0, self._heap[0][0] - self._own_s) / self._rate()
            number = self._set
            self._clock.after(left_s, lambda: self._end(number))

    def _end(self, number: int) -> None:
        if number != self._set:  # somebody has come or gone, and it was set anew
            return
        self._progress()
        ended: list[Callable[[], object]] = []
        first_s = self._heap[0][0]
        while self._heap and (self._heap[0][2].done is None or self._heap[0][0] <= first_s):
            task = heapq.heappop(self._heap)[2]
            if task.done is not None:
                ended.append(task.done)
                task.done = None
                self._wanted -= task.threads
        self._own_s = max(self._own_s, first_s)
        if not self._heap:
            self._wanted = 0.0  # without what sums of fractions leave
        self._watch()
        for done in ended:
            done()


class Thread:
    """One thread, which does one thing after another: an event loop, or a process with one interpreter.

    Parameters
    ----------
    processor : Processor
        That it runs on.
    wake_s : float
        More that it does for what finds it asleep.
    """

    def __init__(self, processor: Processor, wake_s: float = 0.0) -> None:
        self._processor = processor
        self._wake_s = wake_s
        self._waiting: deque[tuple[float, Callable[[], object]]] = deque()
        self._runs = False

    def run(self, work_s: float, done: Callable[[], object]) -> None:
        """Do something when its turn has come, and call `done` at its end; at once if it is no work."""
        if work_s <= 0:
            done()
        elif self._runs:
            self._waiting.append((work_s, done))
        else:
            self._begin(work_s + self._wake_s, done)

    def _begin(self, work_s: float, done: Callable[[], object]) -> None:
        self._runs = True
        self._processor.run(work_s, lambda: self._ended(done))

    def _ended(self, done: Callable[[], object]) -> None:
        self._runs = False
        if self._waiting:
            self._begin(*self._waiting.popleft())
        done()
