"""One request on its way through a scheduler, and what an execution made of several."""

from __future__ import annotations

from concurrent.futures import Future
from math import inf
from typing import TYPE_CHECKING

from sonic.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    import numpy as np

    from sonic.errors import SonicError
    from sonic.protocol.messages import InferResponse, Parameter
    from sonic.server.execution import Execution

    Arrays = Mapping[str, np.ndarray]


class JobFuture(Future["InferResponse"]):
    """The future of a job, which says at once that it was cancelled.

    A callback would do too, but every request would pay for it.
    """

    on_cancel: Callable[[], None] | None = None

    def cancel(self) -> bool:
        """Give the request up, unless it is executed already."""
        done = super().cancel()
        if done and self.on_cancel is not None:
            self.on_cancel()
        return done


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
        Makes the response of the wanted outputs.
    shape : hashable
        Jobs are merged only if theirs are equal.
    timeout_s : float or None
    id : str
    parameters : mapping of str to bool, int, float or str
    priority : int
        1 goes first; 0: the model's default.
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
        "limit_s",
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
        respond: Callable[[Arrays], InferResponse],
        shape: Hashable = None,
        timeout_s: float | None = None,
        *,
        id: str = "",  # noqa: A002 - the protocol's word
        parameters: Mapping[str, Parameter] | None = None,
        priority: int = 0,
        observe: Callable[[Execution], None] | None = None,
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        self.wanted = wanted
        self.id = id
        self.parameters = parameters or {}
        self.priority = priority
        self.observe = observe
        self.shape = shape
        self.timeout_s = timeout_s
        self.respond = respond
        self.future = JobFuture()
        self.arrived_s = 0.0
        self.deadline_s = inf
        self.limit_s = inf  # how long its queue policy lets it wait
        self.position = 0  # in its result
        # Both guarded by the scheduler's lock.
        self.result: Result | None = None  # there, but not yet its turn
        self.ended = False  # then the future is or is just being set

    def fail(self, error: SonicError) -> None:
        """End it in an error, unless it was cancelled."""
        # While it waited it could be; once it runs it cannot.
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def deliver(self, result: Result) -> None:
        """End it, with its part of what an execution made."""
        if isinstance(result.outcome, InferenceError):
            self.fail(result.outcome)
            return
        if self.observe is not None:
            self.observe(result.outcome)
        outputs = result.outcome.outputs[self.position]
        self.future.set_result(self.respond({name: outputs[name] for name in self.wanted}))


class Result:
    """What one execution made of its jobs: outputs, or an error for all of them.

    Parameters
    ----------
    jobs : list of Job
    started_s : float
        When they left the queue.
    outcome : Execution or InferenceError
    """

    __slots__ = ("jobs", "outcome", "started_s")

    def __init__(self, jobs: list[Job], started_s: float, outcome: Execution | InferenceError) -> None:
        for position, job in enumerate(jobs):
            job.position = position
        self.jobs = jobs
        self.started_s = started_s
        self.outcome = outcome

    @property
    def execution(self) -> Execution | None:
        """The execution, if it went well."""
        return None if isinstance(self.outcome, InferenceError) else self.outcome
