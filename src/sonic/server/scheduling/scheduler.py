"""One model's queue and instances: drives the batcher with threads.

An idle instance runs a request in the thread that brought it. While all instances are busy requests gather in the
batcher; whoever then finishes sees to it that the next batch runs. Worker threads are started when they are first
needed, at most one more than there are instances: while all of those run, one is left to watch deadlines.

An event loop itself executes what is known to be short. If the model merges requests, those that come in one turn of
the loop gather until its end, where experience says that more than one comes. Where the policy lets requests wait for
company, but for less time than it takes to wake a thread for it, the loop does the waiting, and looks once a turn.

A deadline ends a request that waits, and one that is being executed as soon as a worker thread executes it: the
result is then thrown away, and the instance is busy until the model returns. It cannot interrupt a model that runs
in the thread that brought the request.

Where the policy asks for order, a result waits until every request that came before has ended. Errors that are not the
model's (a deadline, a queue that is too slow, the end of the server) do not wait.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import Cancelled, Unavailable
from sonic.server.scheduling.attempts import attempt
from sonic.server.scheduling.batcher import Batcher
from sonic.server.scheduling.budget import Budget
from sonic.server.scheduling.counters import Counters
from sonic.server.scheduling.experience import Experience
from sonic.server.scheduling.job import Result
from sonic.server.scheduling.order import Order
from sonic.server.scheduling.policies import QueuePolicy
from sonic.server.scheduling.taken import Taken
from sonic.server.scheduling.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from sonic.protocol.messages import InferResponse, ModelStatistics
    from sonic.server.execution.instances import Instance, Reply
    from sonic.server.execution.plan import Plan
    from sonic.server.scheduling.job import CallSoon, Inline, Job
    from sonic.server.scheduling.policies import BatchPolicy

_FEW = 8
"""Cancelled requests stay in the queue until they may be one in so many of it."""


class Scheduler:
    """Runs the requests of one model version. Thread-safe.

    Parameters
    ----------
    plan : Plan
    policy : BatchPolicy
    instances : sequence of Instance
    short_s : float
        A thread that must not be held up executes a request itself if one of its size is known to take less than this.
        For models whose executions take about as long as those before. 0: it executes none.
    budget : Budget or None
        For the bytes of the requests that wait; None: no bound.
    """

    def __init__(
        self,
        plan: Plan,
        policy: BatchPolicy,
        instances: Sequence[Instance],
        *,
        short_s: float = 0.0,
        budget: Budget | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._plan = plan
        self._label = f"model {plan.spec.name!r}"
        self._batcher: Batcher[Job] = Batcher(policy)
        self._budget = budget or Budget()
        self._counters = Counters(plan.spec.name, plan.spec.version)
        self._instances = len(instances)
        self._idle = list(instances)
        self._running: set[Job] = set()  # those that worker threads execute, and those whose result waits its turn
        self._taken = Taken()
        self._order = Order(self._lock, self._taken) if policy.in_order else None
        self._experience = Experience(policy, short_s)
        self._given_up = 0  # since those were last taken out of the queue
        self._threads = Threads(self._lock, len(instances) + 1, f"sonic-{plan.spec.name}", self._work)
        self._stopped = False
        self._closed = False
        self._released: Callable[[], object] = bool

    @property
    def instances(self) -> int:
        """Executions that run at the same time."""
        return self._instances

    @property
    def pending(self) -> int:
        """Requests that wait."""
        with self._lock:
            return len(self._batcher)

    def statistics(self) -> ModelStatistics:
        """Return the counters."""
        with self._lock:
            return self._counters.snapshot()

    def failures(self) -> Mapping[str, int]:
        """Return how many requests failed, by reason."""
        with self._lock:
            return self._counters.failures()

    def submit(self, job: Job, *, inline: Inline = True) -> Future[InferResponse]:
        """Take a request.

        Parameters
        ----------
        job : Job
        inline : bool or callable
            Whether the calling thread may execute it; otherwise this returns at once. An event loop gives its
            ``call_soon``.

        Returns
        -------
        Future
            Of the response. Cancelling it has effect while the request waits.

        Raises
        ------
        Unavailable
            If the queue or the budget is full, or the scheduler closed.
        """
        batch: list[Job] = []
        overdue: Sequence[Job] = ()
        stranded: Sequence[Job] = ()
        level = self._batcher.policy.level(job.priority)
        queue = self._batcher.policy.queue_of(level)
        with self._lock:
            if self._stopped:
                raise Unavailable(f"{self._label} is being unloaded")
            if not (places := self._batcher.room(level)):
                raise Unavailable(f"{self._label}: {queue.max_size} requests wait already. Exceeds maximum queue size")
            job.arrive(now_s := time.monotonic(), queue)
            rows = self._plan.padded(job.rows)
            joins = False  # waits for the end of the event loop's turn, to be executed there with what else comes
            if not isinstance(inline, bool):
                call_soon, inline = inline, self._experience.is_short(job.n_bytes)
                # Not in the last place of the queue, where nothing else could come.
                joins = inline and places > 1 and bool(self._idle) and self._experience.joins(job.n_bytes)
            # Whether this thread looks for a batch to execute now, and whether that is this request, past the queue.
            tries = inline and self._idle and (not joins or self._experience.lingers)
            alone = tries and self._batcher.passes(rows) and min(job.deadline_s - now_s, job.limit_s) > 0
            if not alone and not joins:
                job.held_bytes = self._budget.take(self._label, job.inputs)
            self._taken.add(job)
            if self._order is not None:
                self._order.append(job)
            if not alone or self._order is not None:
                job.wait(self._give_up)
            made = False
            if alone:
                batch = self._begin([job])
            else:
                made = self._batcher.add(
                    job,
                    now_s=now_s,
                    rows=rows,
                    shape=job.shape,
                    deadline_s=job.deadline_s,
                    level=level,
                    limit_s=job.limit_s,
                )
                if tries and made:
                    overdue = self._overdue(now_s)
                    batch = self._next_batch(now_s)
            if batch:
                instance = self._idle.pop()
            if joins and self._idle and len(self._batcher):
                if self._experience.turn.join(job.n_bytes):
                    call_soon(partial(self._end_turn, call_soon))
            else:
                self._experience.turn.end()
                if len(self._batcher) and (self._idle or min(job.deadline_s, job.limit_s) != inf):
                    stranded = self._call(-inf if made and self._idle else self._next_event_s())
        if stranded:
            self._strand(stranded)
        if overdue or self._order is not None:
            self._refuse(overdue, now_s)
        if batch:
            self._run(instance, batch, now_s)
        return job.future

    def answer(self, job: Job, reply: Reply) -> Future[InferResponse]:
        """Take a request whose reply is there already: it ends at once, or where order is kept when it is its turn.

        Raises
        ------
        Unavailable
            If the scheduler is closed.
        """
        result = Result.of_reply(job, reply, time.monotonic())
        with self._lock:
            if self._stopped:
                raise Unavailable(f"{self._label} is being unloaded")
            job.future.set_running_or_notify_cancel()
            job.arrive(job.arrived_s, QueuePolicy())
            self._taken.add(job)
            if self._order is not None:
                self._order.append(job)
            ended = self._end([job], result)
            if job in self._running and job.deadline_s != inf:
                self._threads.call()  # to watch the deadline
        for each in ended:
            each.deliver(result)
        self._taken.end(ended)
        self._send()
        return job.future

    def stop(self) -> None:
        """Take no more requests; those that were taken go on."""
        with self._lock:
            self._stopped = True

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended; False if that takes longer than `timeout_s` seconds."""
        return self._taken.wait(timeout_s)

    def close(self, released: Callable[[], object] = bool) -> None:
        """Take no more requests, and end those that have not: in Unavailable.

        An execution that runs goes on in its thread; its result is thrown away.

        Parameters
        ----------
        released : callable
            Called once every instance is idle: now, or when the last execution ends, in its thread.
        """
        with self._lock:
            self._stopped = self._closed = True
            self._released = released
            ended = self._end([*self._batcher.clear(), *(job for job in self._running if job.result is None)])
            self._running.difference_update(ended)
            free = self._threads.wake()
        for job in ended:
            job.fail(Unavailable(f"{self._label} is being unloaded, the request did not end in time"))
        self._taken.end(ended)
        self._send()
        for thread in free:
            thread.join()
        self._release()

    def _end_turn(self, call_soon: CallSoon) -> None:
        """Execute what has gathered in the event loop's turn, unless it waits for more, or somebody else sees to it."""
        batch: list[Job] = []
        stranded: Sequence[Job] = ()
        turn = self._experience.turn
        with self._lock:
            if not turn.called():
                return
            overdue = self._overdue(now_s := time.monotonic())
            if self._idle and (batch := self._next_batch(now_s)):
                instance = self._idle.pop()
            if self._experience.lingers and self._idle and not batch and len(self._batcher):
                turn.ask()
                call_soon(partial(self._end_turn, call_soon))
            else:
                turn.end()
                if len(self._batcher):
                    stranded = self._call()
        if stranded:
            self._strand(stranded)
        self._refuse(overdue, now_s)
        if batch:
            self._run(instance, batch, now_s)

    # ---- with the lock held -----------------------------------------------------------------------------------------

    def _next_batch(self, now_s: float) -> list[Job]:
        while jobs := self._batcher.take(now_s):
            if batch := self._begin(jobs):
                return batch
        return []

    def _begin(self, jobs: list[Job]) -> list[Job]:
        """Mark jobs as running; return them but for those that were cancelled, which end."""
        batch = [job for job in jobs if job.begin()]
        if len(batch) < len(jobs):
            self._taken.end(self._end([job for job in jobs if job not in batch]))
        return batch

    def _end(self, jobs: Sequence[Job], result: Result | None = None) -> Sequence[Job]:
        """Count those of the jobs that had not ended, and return them: their futures are the caller's to set.

        Where order is kept, those with a result are left to :meth:`_send`, when it is their turn.
        """
        ended = jobs if len(jobs) == 1 and not jobs[0].ended else [job for job in jobs if not job.ended]
        if result is not None and self._order is not None:
            for job in ended:
                job.result = result
            self._running.update(ended)  # a deadline can still end them
            ended = ()
        self._count(ended, result)
        if self._order is not None:
            for job in self._order.advance():
                self._running.discard(job)
                self._count([job], job.result)
        return ended

    def _count(self, jobs: Sequence[Job], result: Result | None) -> None:
        now_s = time.monotonic()
        for job in jobs:
            job.count(result, self._counters, now_s)
            if job.held_bytes:
                self._budget.give(job.held_bytes)

    def _overdue(self, now_s: float) -> Sequence[Job]:
        running = [job for job in self._running if job.deadline_s <= now_s]
        self._running.difference_update(running)
        needed_s = self._experience.needed_s if self._idle else 0.0
        return self._end([*self._batcher.expire(now_s, needed_s), *running])

    def _next_event_s(self) -> float:
        deadline_s = min(self._batcher.next_deadline_s(), min((job.deadline_s for job in self._running), default=inf))
        return min(deadline_s, self._batcher.next_ready_s()) if self._idle else deadline_s

    def _call(self, at_s: float = -inf) -> Sequence[Job]:
        """Have a thread look at the queue at that time; where the system gives none, end and return what waits."""
        return () if self._threads.call(at_s) else self._end(self._batcher.clear())

    def _learn(self, batch: Sequence[Job], results: Sequence[Result], lasted_s: float, busy_s: float) -> None:
        whole = len(results) == 1 and results[0].execution is not None
        if not whole and all(result.execution is None for result in results):
            return  # what fails may do so at once
        rows = n_bytes = 0
        for job in batch:
            rows += job.rows
            n_bytes += job.n_bytes
        self._experience.learn(n_bytes, rows if whole else None, lasted_s, busy_s)
        self._batcher.most_rows = self._experience.most_rows

    # ---- without it -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """See to the queue, in a thread of its own, until it is closed."""
        while True:
            batch: list[Job] = []
            with self._lock:
                self._threads.end()
                now_s = time.monotonic()
                overdue = self._overdue(now_s)
                if self._idle and (batch := self._next_batch(now_s)):
                    instance = self._idle.pop()
                    self._threads.begin()
                    self._running.update(batch)
                    if len(self._batcher) or any(job.deadline_s != inf for job in self._running):
                        self._threads.call()  # for the next batch, or to watch deadlines, as this one did till now
                elif not overdue and not (self._order is not None and self._order.owes):
                    if self._closed:
                        return
                    self._threads.sleep(now_s, self._next_event_s())
            self._refuse(overdue, now_s)
            if batch:
                self._run(instance, batch, now_s, self._experience.clock)

    def _run(
        self, instance: Instance, batch: list[Job], started_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Execute a batch on an instance that is not idle, give the instance back, and end the jobs."""
        results: list[Result] = []
        live: list[Sequence[Job]] = []
        interrupted: Sequence[Job] = ()
        stranded: Sequence[Job] = ()
        before_s = clock()
        try:
            results = attempt(instance, self._plan, batch, started_s)
        finally:
            with self._lock:
                self._idle.append(instance)
                self._learn(batch, results, time.monotonic() - started_s, clock() - before_s)
                if self._running:
                    self._running.difference_update(batch)
                for result in results:
                    live.append(self._end(result.jobs, result))
                    result.count(self._counters)
                if not results:  # as by Ctrl-C in the thread that brought the request
                    interrupted = self._end(batch)
                watched = self._order is not None and any(job.deadline_s != inf for job in self._running)
                if len(self._batcher) or watched:
                    stranded = self._call()
            if stranded:
                self._strand(stranded)
            if interrupted:
                for job in interrupted:
                    job.fail(Cancelled(f"{self._label}: the thread that executed the request was interrupted"))
                self._taken.end(interrupted)
                self._send()
        for result, jobs in zip(results, live, strict=True):
            try:
                for job in jobs:
                    job.deliver(result)
            finally:
                self._taken.end(jobs)
        self._send()
        if self._closed:
            self._release()

    def _release(self) -> None:
        """Let the instances go, with what they hold of the model, unless one of them is not idle."""
        with self._lock:
            if not self._instances or len(self._idle) < self._instances:
                return
            self._idle.clear()
            self._instances = 0
        self._released()

    def _send(self) -> None:
        if self._order is not None:
            self._order.give()

    def _strand(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.fail(Unavailable(f"{self._label}: the system gives the server no thread to execute it"))
        self._taken.end(jobs)

    def _give_up(self) -> None:
        """Take requests that were cancelled out of the queue, where they would take the room of others.

        Looking for them is worth it when they are a good part of it.
        """
        with self._lock:
            self._given_up += 1
            if _FEW * self._given_up < len(self._batcher):
                return
            self._given_up = 0
            self._begin(self._batcher.drop(lambda job: job.future.cancelled()))
        self._send()

    def _refuse(self, overdue: Sequence[Job], now_s: float) -> None:
        """End those whose time has come, and what has waited for them or for one that was cancelled."""
        policy = self._batcher.policy
        for job in overdue:
            job.refuse(self._label, now_s, policy.queue_of(policy.level(job.priority)))
        if overdue:
            self._taken.end(overdue)
        self._send()
