"""A job on virtual time: the framework's graph, its streams and its threads, by its scheduler's rule. Pure.

As in :mod:`sonic.framework.scheduler`, a thread takes what is ready of the chunk that is nearest to its end, then of
the earliest chunk; a chunk that waits for a server holds no thread; one chunk is read ahead; finished chunks are
written in order.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.errors import InferenceError
    from sonic.framework.graph import Graph, ReadySet
    from sonic.study.simulation.client import Request, VirtualRouter
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.processor import Processor

Mode = Literal["async", "sync", "pseudo_async"]


@dataclass(frozen=True, slots=True)
class Step:
    """What a module does with a chunk.

    Parameters
    ----------
    name : str
    work_s : callable
        Draws how long it computes; of an offload, in ``acquire``.
    request : Request or None
        What an offload asks for; None of a module that computes alone.
    requests : int
        How many of them, one after another.
    produce_s : float
        In ``produce``.
    mode : {"async", "sync", "pseudo_async"}
    """

    name: str
    work_s: Callable[[], float]
    request: Request | None = None
    requests: int = 1
    produce_s: float = 0.0
    mode: Mode = "async"


class Told:
    """What a job tells: each chunk's end, each module's time, each request.

    The methods do nothing; an owner's class overrides what it wants to know.
    """

    def chunk(self, began_s: float, error: InferenceError | None) -> None:
        """Take note of a chunk that has been written."""

    def module(self, name: str, ready_s: float) -> None:
        """Take note of a module that has done with a chunk, which it could begin at `ready_s`."""

    def request(self, rows: int, sent_s: float, error: InferenceError | None) -> None:
        """Take note of a request that has ended."""


class _Flight:
    __slots__ = ("began_s", "error", "index", "pending", "ready", "ready_s")

    def __init__(self, index: int, ready: ReadySet, began_s: float, modules: int) -> None:
        self.index = index
        self.ready = ready
        self.began_s = began_s
        self.pending = 0
        self.ready_s = [0.0] * modules
        self.error: InferenceError | None = None


class Job:
    """A job that runs chunks through a graph.

    Parameters
    ----------
    clock : Clock
    graph : Graph
    steps : sequence of Step
        Its modules.
    router : VirtualRouter
        Of its client.
    processor : Processor
        That its threads run on.
    told : Told
    threads, streams : int
    chunks : int or None
        After so many it ends; None: never.
    read_s, write_s : float
        What a chunk takes to be read, and to be written.
    timeout_s : float or None
        Deadline of a request.
    ended : callable
        Called at its end.
    """

    def __init__(
        self,
        clock: Clock,
        graph: Graph,
        steps: Sequence[Step],
        router: VirtualRouter,
        processor: Processor,
        told: Told,
        *,
        threads: int = 1,
        streams: int = 1,
        chunks: int | None = None,
        read_s: float = 0.0,
        write_s: float = 0.0,
        timeout_s: float | None = None,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._graph = graph
        self._steps = tuple(steps)
        self._router = router
        self._processor = processor
        self._told = told
        self._read_s, self._write_s, self._timeout_s = read_s, write_s, timeout_s
        self._left = chunks
        self._ended = ended
        self._idle = threads
        self._free = streams
        self._ahead = 2 * streams
        self._reading = self._fresh = self._writing = False
        self._begun = self._written = self._pushed = 0
        self._heap: list[tuple[int, int, int, Callable[[], object], bool]] = []
        self._finished: dict[int, _Flight] = {}
        self._queues: dict[int, deque[Callable[[], object]]] = {}
        self._read_on()
        self._work()

    # Threads: an action runs on one, and calls `_leave` when it needs it no more; an opening needs none.

    def _push(self, urgency: int, index: int, action: Callable[[], object], *, opening: bool = False) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (urgency, index, self._pushed, action, opening))

    def _work(self) -> None:
        while self._idle and self._heap:
            *_, action, opening = heapq.heappop(self._heap)
            if not opening:
                self._idle -= 1
            action()

    def _compute(self, work_s: float, done: Callable[[], object]) -> None:
        if work_s > 0:
            self._processor.run(work_s, done)
        else:
            done()

    def _leave(self) -> None:
        self._idle += 1
        self._work()

    # Chunks

    def _read_on(self) -> None:
        if self._reading or self._fresh or self._left == 0:
            return
        if not self._free or self._begun - self._written >= self._ahead:
            return
        self._reading = True
        self._free -= 1
        if self._left is not None:
            self._left -= 1
        self._push(len(self._steps) + 1, self._begun, lambda: self._compute(self._read_s, self._read))

    def _read(self) -> None:
        self._reading = False
        flight = _Flight(self._begun, self._graph.start(), self._clock.now_s(), len(self._steps))
        self._begun += 1
        self._fresh = True
        self._push(len(self._steps) + 2, flight.index, lambda: self._begin(flight), opening=True)
        self._leave()

    def _begin(self, flight: _Flight) -> None:
        self._fresh = False
        flight.began_s = self._clock.now_s()
        for i in flight.ready.roots():
            self._start(flight, i)
        self._read_on()

    def _finish(self, flight: _Flight) -> None:
        self._free += 1
        self._finished[flight.index] = flight
        self._write_on()
        self._read_on()

    def _write_on(self) -> None:
        if not self._writing and (flight := self._finished.pop(self._written, None)) is not None:
            self._writing = True
            self._push(-1, flight.index, lambda: self._compute(self._write_s, lambda: self._put(flight)))

    def _put(self, flight: _Flight) -> None:
        self._writing = False
        self._written += 1
        self._told.chunk(flight.began_s, flight.error)
        self._write_on()
        self._read_on()
        if self._left == 0 and not self._reading and self._written == self._begun:
            self._ended()
        self._leave()

    # Modules

    def _start(self, flight: _Flight, i: int) -> None:
        flight.pending += 1
        flight.ready_s[i] = self._clock.now_s()
        self._push(flight.ready.remaining, flight.index, lambda: self._run(flight, i))

    def _done(self, flight: _Flight, i: int) -> None:
        flight.pending -= 1
        if flight.error is not None:
            if not flight.pending:
                self._finish(flight)
            return
        self._told.module(self._steps[i].name, flight.ready_s[i])
        for j in flight.ready.done(i):
            self._start(flight, j)
        if not flight.ready.remaining:
            self._finish(flight)

    def _run(self, flight: _Flight, i: int) -> None:
        step = self._steps[i]
        if flight.error is not None:  # of another module
            self._settle(flight, i)
        elif step.request is None:
            self._compute(step.work_s(), lambda: self._settle(flight, i))
        else:
            self._compute(step.work_s(), lambda: self._acquired(flight, i, step))

    def _settle(self, flight: _Flight, i: int) -> None:
        self._done(flight, i)
        self._leave()

    # Offloads

    def _acquired(self, flight: _Flight, i: int, step: Step) -> None:
        if step.mode == "pseudo_async":
            queue = self._queues.setdefault(i, deque())
            queue.append(lambda: self._ask(flight, i, step, step.requests))
            if len(queue) == 1:
                queue[0]()
        else:
            self._ask(flight, i, step, step.requests)
        if step.mode != "sync":
            self._leave()

    def _ask(self, flight: _Flight, i: int, step: Step, left: int) -> None:
        request = step.request
        assert request is not None  # noqa: S101 - an offload's

        def answered(sent_s: float, error: InferenceError | None) -> None:
            self._told.request(request.rows, sent_s, error)
            if error is None and left > 1:
                self._ask(flight, i, step, left - 1)
            else:
                self._resume(flight, i, step, error)

        self._router.send(request, self._timeout_s, answered)

    def _resume(self, flight: _Flight, i: int, step: Step, error: InferenceError | None) -> None:
        if step.mode == "pseudo_async":
            queue = self._queues[i]
            queue.popleft()
            if queue:
                queue[0]()
        if error is not None and flight.error is None:
            flight.error = error
        self._push(flight.ready.remaining, flight.index, lambda: self._produce(flight, i, step))
        if step.mode == "sync":  # the thread that has waited is free for it
            self._leave()
        else:
            self._work()

    def _produce(self, flight: _Flight, i: int, step: Step) -> None:
        self._compute(0.0 if flight.error is not None else step.produce_s, lambda: self._settle(flight, i))
