"""One request on its way through a scheduler, and what an execution made of several."""

from __future__ import annotations

import threading
import time
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import DeadlineExceeded, InferenceError, Unavailable
from sonic.server.execution.instances import Reply
from sonic.server.execution.plan import Execution
from sonic.server.failures import foreseen
from sonic.server.scheduling.counters import CANCELED, REJECTED, reason_of
from sonic.server.scheduling.futures import Ended, JobFuture

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import numpy as np

    from sonic.errors import SonicError
    from sonic.protocol.messages import InferResponse, Parameter
    from sonic.server.scheduling.counters import Counters
    from sonic.server.scheduling.policies import QueuePolicy

    Arrays = Mapping[str, np.ndarray]

    CallSoon = Callable[[Callable[[], None]], object]
    Inline = bool | CallSoon
    """Whether the thread that brings a request may execute it; otherwise it must go on at once.

    An event loop, which must not be held up, gives its ``call_soon`` instead. It executes only requests that are known
    to be short: at once, or at the end of its turn, together with others that come until then.
    """


NEVER_S = threading.TIMEOUT_MAX / 2
"""A timeout from here on is none: nothing can wait so long."""


class Job:
    """One request.

    Parameters
    ----------
    inputs : mapping of str to ndarray
        Checked against the model.
    rows : int
    wanted : tuple of str
        Names of outputs.
    respond : callable
        Makes the response of a reply with the wanted outputs.
    shape : hashable
        Jobs are merged only if theirs are equal.
    timeout_s : float or None
    id : str
    parameters : mapping of str to bool, int, float or str
    priority : int
        1 goes first; 0: the model's default.
    observe : callable or None
        Told of the execution that made the response, before the future ends.

    Attributes
    ----------
    n_bytes : int
        Size of its inputs.
    """

    __slots__ = (
        "_future",
        "arrived_s",
        "deadline_s",
        "ended",
        "held_bytes",
        "id",
        "inputs",
        "limit_s",
        "n_bytes",
        "observe",
        "parameters",
        "position",
        "priority",
        "respond",
        "result",
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
        respond: Callable[[Reply], InferResponse],
        shape: Hashable = None,
        timeout_s: float | None = None,
        *,
        id: str = "",  # noqa: A002 - the protocol's word
        parameters: Mapping[str, Parameter] | None = None,
        priority: int = 0,
        observe: Callable[[Execution], None] | None = None,
    ) -> None:
        self.inputs = inputs
        self.n_bytes = 0
        for array in inputs.values():
            self.n_bytes += array.nbytes
        self.rows = rows
        self.wanted = wanted
        self.id = id
        self.parameters = parameters or {}
        self.priority = priority
        self.observe = observe
        self.shape = shape
        self.timeout_s = timeout_s
        self.respond = respond
        self._future: JobFuture | None = None
        self.arrived_s = 0.0
        self.deadline_s = inf
        self.limit_s = inf  # how long its queue policy lets it wait
        self.position = 0  # in its result
        self.held_bytes = 0  # of a budget, until it has ended
        # Both guarded by the scheduler's lock.
        self.result: Result | None = None  # there, but not yet its turn
        self.ended = False  # then the future is or is just being set

    @property
    def future(self) -> JobFuture:
        """Made when it is first asked for: by who brings the request, before another thread can end it."""
        if self._future is None:
            self._future = JobFuture()
        return self._future

    def given_up(self) -> bool:
        """Whether who brought it has given it up; it may be executed all the same."""
        return self._future is not None and self._future.given_up

    def wait(self, on_cancel: Callable[[], None]) -> None:
        """Note that it may have to wait, and what to call if it is given up meanwhile."""
        self.future.on_cancel = on_cancel

    def arrive(self, now_s: float, policy: QueuePolicy) -> None:
        """Set until when it may wait, by its own timeout and the policy of its queue."""
        self.arrived_s = now_s
        if self.timeout_s is None and policy.timeout_s >= NEVER_S:
            return
        if (limit_s := policy.limit_s(self.timeout_s)) < NEVER_S:
            self.limit_s = limit_s
        if self.timeout_s is not None and self.timeout_s < NEVER_S and not (policy.delays and policy.allow_override):
            self.deadline_s = now_s + self.timeout_s

    def begin(self) -> bool:
        """Note that it is executed now; False if it was cancelled."""
        return self._future is None or self._future.set_running_or_notify_cancel()

    def fail(self, error: SonicError) -> None:
        """End it in an error, unless it was cancelled."""
        if self._future is None:
            self._future = Ended(None, error)
        # While it waited it could be; once it runs it cannot.
        elif self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def refuse(self, label: str, now_s: float, policy: QueuePolicy) -> None:
        """End it because its time has come: while it waited in a queue of that policy, or before its result."""
        if self.arrived_s + self.limit_s <= now_s and not policy.delays and not self.future.running():
            text = f"it waited for {self.limit_s:g} s, longer than the queue policy allows. Request timeout expired"
            self.fail(Unavailable(f"{label}: {text}"))
        else:
            text = f"the deadline of {self.timeout_s:g} s comes before the result"
            self.fail(DeadlineExceeded(f"{label}: {text}"))

    def deliver(self, result: Result) -> None:
        """End it, with its part of what an execution made, or in ModelFailed if no response can be made of that."""
        if isinstance(result.outcome, InferenceError):
            self.fail(result.outcome)
            return
        try:
            if self.observe is not None and not result.kept:
                self.observe(result.outcome)
            reply = result.outcome.replies[self.position]
            if tuple(reply.outputs) != self.wanted:
                reply = Reply({name: reply.outputs[name] for name in self.wanted}, reply.parameters)
            response = self.respond(reply)
        except Exception as error:  # noqa: BLE001 - as out of memory; the thread has others of the batch to end
            self.fail(foreseen(error, "making a response"))
            return
        if self._future is None:
            self._future = Ended(response)
        else:
            self._future.set_result(response)

    def count(self, result: Result | None, counters: Counters, now_s: float) -> None:
        """Count it as ended: with its part of a result, or without one, since it waited in vain or was given up.

        Its future is the caller's to set. The lock that guards the counters is held.
        """
        self.ended = True
        total_ns = int((now_s - self.arrived_s) * 1e9)
        now_ms = time.time_ns() // 1_000_000
        if result is None:
            counters.failed(CANCELED if self.given_up() else REJECTED, total_ns=total_ns, now_ms=now_ms)
        elif isinstance(done := result.outcome, InferenceError):
            counters.failed(reason_of(done), total_ns=total_ns, now_ms=now_ms)
        elif result.kept:
            counters.hit(total_ns=total_ns, lookup_ns=int((result.started_s - self.arrived_s) * 1e9), now_ms=now_ms)
        else:
            counters.succeeded(
                rows=self.rows,
                total_ns=total_ns,
                queue_ns=int((result.started_s - self.arrived_s) * 1e9),
                input_ns=done.input_ns,
                infer_ns=done.infer_ns,
                output_ns=done.output_ns,
                now_ms=now_ms,
            )


class Result:
    """What one execution made of its jobs: outputs, or an error for all of them.

    Parameters
    ----------
    jobs : list of Job
    started_s : float
        When they left the queue, or what was there already was found.
    outcome : Execution or InferenceError
    kept : bool
        Whether it was there already, and nothing was executed.

    Attributes
    ----------
    execution : Execution or None
        If it went well.
    """

    __slots__ = ("execution", "jobs", "kept", "outcome", "started_s")

    def __init__(
        self, jobs: list[Job], started_s: float, outcome: Execution | InferenceError, *, kept: bool = False
    ) -> None:
        for position, job in enumerate(jobs):
            job.position = position
        self.jobs = jobs
        self.started_s = started_s
        self.outcome = outcome
        self.execution = None if isinstance(outcome, InferenceError) else outcome
        self.kept = kept

    @classmethod
    def of_reply(cls, job: Job, reply: Reply, found_s: float) -> Result:
        """Make the result of a job whose reply was there already."""
        return cls([job], found_s, Execution([reply], 0, 0, 0), kept=True)

    def count(self, counters: Counters) -> None:
        """Count its execution, if there was one that gave a result. The lock that guards the counters is held."""
        done = self.execution
        if done is None or self.kept:
            return
        rows = 0
        for job in self.jobs:
            rows += job.rows
        counters.executed(rows=rows, input_ns=done.input_ns, infer_ns=done.infer_ns, output_ns=done.output_ns)
