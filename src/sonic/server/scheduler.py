"""One model's queue and instances: drives the batcher with threads.

An idle instance runs a request in the thread that brought it. While all instances are busy requests gather in the
batcher; whoever then finishes sees to it that the next batch runs. Worker threads are started when they are first
needed, at most one more than there are instances: while all of those run, one is left to watch deadlines.

A merged execution that fails is repeated request by request, so that an error reaches only the requests that cause it.
A deadline ends a request that waits, and one that is being executed as soon as a worker thread executes it: the
result is then thrown away, and the instance is busy until the model returns. It cannot interrupt a model that runs
in the thread that brought the request.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, Unavailable
from sonic.server.backends.base import Call, CallInstance
from sonic.server.batcher import Batcher
from sonic.server.counters import Counters
from sonic.server.execution import execute, execute_calls
from sonic.server.failures import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    import numpy as np

    from sonic.errors import SonicError
    from sonic.protocol.messages import InferResponse, ModelStatistics, Parameter
    from sonic.server.backends.base import Instance
    from sonic.server.batcher import BatchPolicy
    from sonic.server.execution import Execution, Plan

    Arrays = Mapping[str, np.ndarray]

_NEVER_S = threading.TIMEOUT_MAX / 2
"""A timeout from here on is none: nothing can wait so long."""


class Job:
    """One request on its way through a scheduler.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        Checked against the model.
    rows : int
    wanted : tuple of str
        Names of outputs.
    respond : callable
        Makes the response of the wanted outputs.
    shape : hashable
        Jobs are merged only if theirs are equal.
    timeout_s : float or None
    id : str
    parameters : mapping of str to bool, int, float or str
    observe : callable or None
        Told of the execution that made the response, before the future ends.
    """

    __slots__ = (
        "arrived_s",
        "deadline_s",
        "ended",
        "future",
        "id",
        "inputs",
        "observe",
        "parameters",
        "respond",
        "rows",
        "shape",
        "timeout_s",
        "wanted",
    )

    def __init__(
        self,
        inputs: Arrays,
        rows: int,
        wanted: tuple[str, ...],
        respond: Callable[[Arrays], InferResponse],
        shape: Hashable = None,
        timeout_s: float | None = None,
        *,
        id: str = "",  # noqa: A002 - the protocol's word
        parameters: Mapping[str, Parameter] | None = None,
        observe: Callable[[Execution], None] | None = None,
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        self.wanted = wanted
        self.id = id
        self.parameters = parameters or {}
        self.observe = observe
        self.shape = shape
        self.timeout_s = timeout_s
        self.respond = respond
        self.future: Future[InferResponse] = Future()
        self.arrived_s = 0.0
        self.deadline_s = inf
        self.ended = False  # guarded by the scheduler's lock; then the future is or is just being set


class Scheduler:
    """Runs the requests of one model version. Thread-safe.

    Parameters
    ----------
    plan : Plan
    policy : BatchPolicy
    instances : sequence of Instance
    """

    def __init__(self, plan: Plan, policy: BatchPolicy, instances: Sequence[Instance]) -> None:
        self._plan = plan
        self._label = f"model {plan.spec.name!r}"
        self._batcher: Batcher[Job] = Batcher(policy)
        self._counters = Counters(plan.spec.name, plan.spec.version)
        self._instances = len(instances)
        self._idle = list(instances)
        self._running: set[Job] = set()  # those that worker threads execute
        self._accepted = 0  # and not yet ended
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._quiet = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._busy: set[threading.Thread] = set()
        self._waiting = 0
        self._closed = False

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

    def submit(self, job: Job, *, inline: bool = True) -> Future[InferResponse]:
        """Take a request.

        Parameters
        ----------
        job : Job
        inline : bool
            Whether the calling thread may execute it; otherwise this returns at once.

        Returns
        -------
        Future
            Of the response. Cancelling it has effect while the request waits.

        Raises
        ------
        Unavailable
            If the queue is full, or the scheduler closed.
        """
        batch: list[Job] = []
        overdue: list[Job] = []
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._label} is being unloaded")
            if self._batcher.full:
                raise Unavailable(f"{self._label}: {len(self._batcher)} requests wait already, no more are taken")
            job.arrived_s = now_s = time.monotonic()
            if job.timeout_s is not None and job.timeout_s < _NEVER_S:
                job.deadline_s = now_s + job.timeout_s
            self._accepted += 1
            rows = self._plan.room(job.rows)
            self._batcher.add(job, rows, job.shape, now_s=now_s, deadline_s=job.deadline_s)
            if inline and self._idle:
                overdue = self._overdue(now_s)
                batch = self._next_batch(now_s)
            if batch:
                instance = self._idle.pop()
            if len(self._batcher) and (self._idle or job.deadline_s != inf):
                self._call_worker()
        self._refuse(overdue)
        if batch:
            self._run(instance, batch, now_s)
        return job.future

    def drain(self, timeout_s: float) -> bool:
        """Wait until every request taken has ended; False if that takes longer than `timeout_s` seconds."""
        with self._lock:
            return self._quiet.wait_for(lambda: not self._accepted, timeout_s)

    def close(self) -> bool:
        """Take no more requests, and end those that have not: in Unavailable.

        An execution that runs goes on in its thread; its result is thrown away.

        Returns
        -------
        bool
            Whether every instance is idle.
        """
        with self._lock:
            self._closed = True
            ended = self._end([*self._batcher.clear(), *self._running])
            self._running.clear()
            self._work.notify_all()
            free = [thread for thread in self._threads if thread not in self._busy]
        for job in ended:
            _fail(job, Unavailable(f"{self._label} is being unloaded, the request did not end in time"))
        for thread in free:
            if thread is not threading.current_thread():
                thread.join()
        with self._lock:
            return len(self._idle) == self._instances

    # ---- with the lock held -----------------------------------------------------------------------------------------

    def _next_batch(self, now_s: float) -> list[Job]:
        while jobs := self._batcher.take(now_s):
            if batch := [job for job in jobs if job.future.set_running_or_notify_cancel()]:
                if len(batch) < len(jobs):
                    self._end([job for job in jobs if job not in batch])
                return batch
            self._end(jobs)
        return []

    def _call_worker(self) -> None:
        if self._waiting:
            self._work.notify()
        elif len(self._threads) <= self._instances:
            name = f"sonic-{self._plan.spec.name}-{len(self._threads)}"
            thread = threading.Thread(target=self._worker, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _end(self, jobs: Sequence[Job], done: Execution | None = None, started_s: float = 0.0) -> list[Job]:
        """Count those of the jobs that had not ended, and return them: their futures are the caller's to set."""
        ended = [job for job in jobs if not job.ended]
        if not ended:
            return ended
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        for job in ended:
            job.ended = True
            total_ns = round((now_s - job.arrived_s) * 1e9)
            if done is None:
                self._counters.failed(total_ns=total_ns, now_ms=now_ms)
            else:
                self._counters.succeeded(
                    rows=job.rows,
                    total_ns=total_ns,
                    queue_ns=round((started_s - job.arrived_s) * 1e9),
                    input_ns=done.input_ns,
                    infer_ns=done.infer_ns,
                    output_ns=done.output_ns,
                    now_ms=now_ms,
                )
        self._accepted -= len(ended)
        if not self._accepted:
            self._quiet.notify_all()
        return ended

    def _overdue(self, now_s: float) -> list[Job]:
        running = [job for job in self._running if job.deadline_s <= now_s]
        self._running.difference_update(running)
        return self._end([*self._batcher.expire(now_s), *running])

    def _next_event_s(self) -> float:
        deadline_s = min(self._batcher.next_deadline_s(), min((job.deadline_s for job in self._running), default=inf))
        return min(deadline_s, self._batcher.next_ready_s()) if self._idle else deadline_s

    # ---- without it -------------------------------------------------------------------------------------------------

    def _worker(self) -> None:
        while True:
            batch: list[Job] = []
            with self._lock:
                self._busy.discard(threading.current_thread())
                now_s = time.monotonic()
                overdue = self._overdue(now_s)
                if self._idle and (batch := self._next_batch(now_s)):
                    instance = self._idle.pop()
                    self._busy.add(threading.current_thread())
                    self._running.update(batch)
                    if len(self._batcher) or any(job.deadline_s != inf for job in batch):
                        self._call_worker()  # for the next batch, or to watch the deadlines
                elif not overdue:
                    if self._closed:
                        return
                    event_s = self._next_event_s()
                    self._waiting += 1
                    self._work.wait(None if event_s == inf else max(0.0, event_s - now_s))
                    self._waiting -= 1
            self._refuse(overdue)
            if batch:
                self._run(instance, batch, now_s)

    def _run(self, instance: Instance, batch: list[Job], started_s: float) -> None:
        """Execute a batch on an instance that is not idle, give the instance back, and end the jobs."""
        results: list[_Result] = []
        interrupted: list[Job] = []
        try:
            results = self._attempt(instance, batch)
        finally:
            with self._lock:
                self._idle.append(instance)
                self._running.difference_update(batch)
                for result in results:
                    result.live = self._end(result.jobs, result.execution, started_s)
                    if result.execution is not None:
                        self._counters.executed()
                if not results:  # as by Ctrl-C in the thread that brought the request
                    interrupted = self._end(batch)
                if len(self._batcher):
                    self._call_worker()
            for job in interrupted:
                _fail(job, Cancelled(f"{self._label}: the thread that executed the request was interrupted"))
        for result in results:
            result.deliver()

    def _attempt(self, instance: Instance, batch: list[Job]) -> list[_Result]:
        rows = [job.rows for job in batch]
        try:
            if isinstance(instance, CallInstance):
                calls = [Call(j.inputs, j.wanted, j.id, j.parameters, j.timeout_s) for j in batch]
                return _results(batch, *execute_calls(instance, self._plan, calls, rows))
            wanted = batch[0].wanted
            if any(job.wanted != wanted for job in batch):
                wanted = tuple(output.name for output in self._plan.spec.outputs)
            done = execute(instance, self._plan, [j.inputs for j in batch], rows, wanted)
            return [_Result(batch, execution=done)]
        except InferenceError as error:
            if len(batch) == 1:
                return [_Result(batch, error=without_frames(error))]
        return [self._attempt(instance, [job])[0] for job in batch]

    def _refuse(self, overdue: Sequence[Job]) -> None:
        for job in overdue:
            text = f"{self._label}: the deadline of {job.timeout_s:g} s came before the result"
            _fail(job, DeadlineExceeded(text))


class _Result:
    """What one execution made of its jobs."""

    def __init__(
        self, jobs: list[Job], *, execution: Execution | None = None, error: InferenceError | None = None
    ) -> None:
        self.jobs = jobs
        self.execution = execution
        self.error = error
        self.live: list[Job] = []  # those that had not ended before

    def deliver(self) -> None:
        live = set(self.live)
        if self.error is not None:
            for job in live:
                _fail(job, self.error)
        if self.execution is not None:
            for job, outputs in zip(self.jobs, self.execution.outputs, strict=True):
                if job in live:
                    if job.observe is not None:
                        job.observe(self.execution)
                    job.future.set_result(job.respond({name: outputs[name] for name in job.wanted}))


def _results(batch: list[Job], done: Execution, errors: Mapping[int, InferenceError]) -> list[_Result]:
    results = [_Result([batch[position]], error=without_frames(error)) for position, error in errors.items()]
    if succeeded := [job for position, job in enumerate(batch) if position not in errors]:
        results.append(_Result(succeeded, execution=done))
    return results


def _fail(job: Job, error: SonicError) -> None:
    # A job that waited can be cancelled up to this moment; one that ran cannot.
    if job.future.running() or job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
