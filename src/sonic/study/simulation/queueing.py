"""One model's queue and instances on virtual time: drives the server's own batcher, as its scheduler does. Pure."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import DeadlineExceeded, Unavailable
from sonic.server.scheduling.batcher import Batcher
from sonic.server.scheduling.experience import Experience
from sonic.server.scheduling.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.client.deadline import Deadline
    from sonic.errors import InferenceError
    from sonic.server.scheduling.policies import BatchPolicy
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.executors import Executor
    from sonic.study.simulation.loop import Loop
    from sonic.study.simulation.processor import Task

    Answer = Callable[[InferenceError | None], object]

_LOOK_S = 1e-5
"""A turn of the event loop in which it only looks whether a batch has waited long enough."""


class Waiting:
    """A request at a server."""

    __slots__ = ("answer", "arrived_s", "rows")

    def __init__(self, rows: int, answer: Answer, arrived_s: float) -> None:
        self.rows = rows
        self.answer = answer
        self.arrived_s = arrived_s


class Counts:
    """What a model has done, as the server's own statistics count it; times summed over requests.

    Attributes
    ----------
    sizes : dict of int to (int, float)
        By the rows of executions, their number and the sum of their times.
    """

    __slots__ = ("executions", "failures", "infer_s", "queue_s", "requests", "rows", "sizes")

    def __init__(self) -> None:
        self.sizes: dict[int, tuple[int, float]] = {}
        self.requests = self.failures = self.executions = self.rows = 0
        self.queue_s = self.infer_s = 0.0


class ModelQueue:
    """What stands between requests and the instances of one model.

    A request that finds an idle instance goes at once, and what waits goes when an instance becomes idle, as the
    policy has it. How many rows are worth an execution is learnt as the server learns it, and so is what the event loop
    that brings a request executes itself: at once, or with others that come in the same turn.

    Parameters
    ----------
    clock : Clock
    policy : BatchPolicy
    executor : Executor
        That its instances execute on.
    instances : int
    wake_s : float
        More that an execution takes whose instance was idle; below 0: less.
    handover_s : float
        From the end of an execution until its instance can begin the next.
    turn_s : float
        More of that at the end of a turn of the event loop that brings requests.
    short_s : float
        The event loop executes itself what is known to take less; 0: nothing.
    learns : bool
        Whether it learns how many rows are worth an execution, as Sonic's scheduler does, and Triton's does not.
    """

    def __init__(
        self,
        clock: Clock,
        policy: BatchPolicy,
        executor: Executor,
        *,
        instances: int = 1,
        wake_s: float = 0.0,
        handover_s: float = 0.0,
        turn_s: float = 0.0,
        short_s: float = 0.0,
        learns: bool = True,
    ) -> None:
        self.counts = Counts()
        self.short_s = short_s
        self._clock = clock
        self._batcher: Batcher[Waiting] = Batcher(policy)
        self._experience = Experience(policy, short_s)
        self._executor = executor
        self._instances = self._idle = instances
        self._wake_s = wake_s
        self._handover_s = handover_s
        self._turn_s = turn_s
        self._learns = learns
        self._lives = 0
        self._running: dict[Task, list[Waiting]] = {}
        self._alarm: Deadline | None = None
        self._alarm_s = inf

    def __len__(self) -> int:
        """Return the number of requests that wait or are executed."""
        return len(self._batcher) + sum(map(len, self._running.values()))

    def submit(self, rows: int, answer: Answer, timeout_s: float | None = None, loop: Loop | None = None) -> None:
        """Take a request, of a `loop` that calls this; `answer` is called once, with None or with what it ended in."""
        now_s = self._clock.now_s()
        batcher, queue = self._batcher, self._batcher.policy.queue
        if not (room := batcher.room()):
            self.counts.failures += 1
            answer(Unavailable(f"{queue.max_size} requests wait already, no more are taken"))
            return
        job = Waiting(rows, answer, now_s)
        limit_s, deadline_s = queue.limit_s(timeout_s), inf
        if timeout_s is not None and not (queue.delays and queue.allow_override):
            deadline_s = now_s + timeout_s
        experience = self._experience
        if loop is not None and not experience.is_short(rows):
            loop = None
        joins = loop is not None and room > 1 and self._idle > 0 and experience.joins(rows)
        tries = self._idle > 0 and (not joins or experience.lingers)
        if tries and batcher.passes(rows) and min(deadline_s - now_s, limit_s) > 0:
            self._begin([job], now_s, self._wake_s, loop)
            return
        made = batcher.add(job, now_s=now_s, rows=rows, deadline_s=deadline_s, limit_s=limit_s)
        if tries and made:
            self._go_on(self._wake_s, loop)
        if loop is not None and joins and self._idle and len(batcher):
            if experience.turn.join(rows):
                self._ask(loop, self._turn_s)
        else:
            experience.turn.end()
            self._watch()

    def know(self, rows: int, took_s: float) -> None:
        """Take note of an execution before the first request: a server is used with its models warmed up."""
        self._experience.learn(rows, None, took_s, took_s)

    def clear(self) -> None:
        """Forget all that waits or is executed, as a server does that dies: nobody is answered."""
        lost = len(self._batcher.clear())
        for task, batch in self._running.items():
            self._executor.stop(task)
            lost += len(batch)
        self._running.clear()
        self._experience.turn = Turn()
        self._idle = self._instances
        self._lives += 1
        self.counts.failures += lost
        self._watch()

    def _ask(self, loop: Loop, work_s: float) -> None:
        loop.soon(work_s, partial(self._end_turn, loop, self._lives))

    def _end_turn(self, loop: Loop, life: int) -> None:
        turn = self._experience.turn
        if life != self._lives or not turn.called():
            return
        executions = len(self._running)
        self._go_on(self._wake_s, loop)
        if self._experience.lingers and self._idle and len(self._running) == executions and len(self._batcher):
            turn.ask()
            self._ask(loop, _LOOK_S)
        else:
            turn.end()
            self._watch()

    def _go_on(self, wake_s: float = 0.0, loop: Loop | None = None) -> None:
        now_s = self._clock.now_s()
        needed_s = self._experience.needed_s if self._idle else 0.0
        overdue = self._batcher.expire(now_s, needed_s)
        while self._idle and (batch := self._batcher.take(now_s)):
            self._begin(batch, now_s, wake_s, loop)
            loop = None  # it executes one
        self._watch()
        self.counts.failures += len(overdue)
        for job in overdue:
            job.answer(DeadlineExceeded("the deadline, or what the queue policy allows, came before the result"))

    def _watch(self) -> None:
        at_s = self._batcher.next_deadline_s()
        if self._idle and not self._experience.turn.open:
            at_s = min(at_s, self._batcher.next_ready_s())
        if at_s == self._alarm_s:
            return
        if self._alarm is not None:
            self._alarm.withdraw()
        self._alarm, self._alarm_s = None, at_s
        if at_s < inf:
            self._alarm = self._clock.set(at_s, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_s = None, inf
        self._go_on(self._wake_s)

    def _begin(self, batch: list[Waiting], now_s: float, wake_s: float = 0.0, loop: Loop | None = None) -> None:
        self._idle -= 1
        rows = 0
        for job in batch:
            rows += job.rows
        woken_s = wake_s if loop is None else 0.0
        task = self._executor.run(rows, lambda: self._ended(task, rows, now_s, loop), wake_s=woken_s, loop=loop)
        self._running[task] = batch

    def _ended(self, task: Task, rows: int, began_s: float, loop: Loop | None) -> None:
        batch = self._running.pop(task)
        now_s = self._clock.now_s()
        self._experience.learn(rows, rows, now_s - began_s, now_s - began_s)
        if self._learns:
            self._batcher.most_rows = self._experience.most_rows
        counts = self.counts
        counts.executions += 1
        counts.rows += rows
        number, all_s = counts.sizes.get(rows, (0, 0.0))
        counts.sizes[rows] = number + 1, all_s + now_s - began_s
        for job in batch:
            counts.requests += 1
            counts.queue_s += began_s - job.arrived_s
            counts.infer_s += now_s - began_s
        free = partial(self._free, self._lives)
        if not self._handover_s:
            free()
        elif loop is not None:
            loop.at_once(self._handover_s, free)
        else:
            self._clock.after(self._handover_s, free)
        for job in batch:
            job.answer(None)

    def _free(self, life: int) -> None:
        if life == self._lives:
            self._idle += 1
            if len(self._batcher):
                self._go_on()
