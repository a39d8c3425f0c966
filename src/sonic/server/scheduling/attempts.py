"""From jobs that go together to what became of each.

An execution for several that fails is repeated one by one, so that an error reaches only the requests that cause it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InferenceError
from sonic.server.execution.executing import execute, execute_calls
from sonic.server.execution.instances import Call, CallInstance
from sonic.server.failures import without_frames
from sonic.server.scheduling.job import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.server.execution.instances import Instance
    from sonic.server.execution.plan import Execution, Plan
    from sonic.server.scheduling.job import Job


def attempt(instance: Instance, plan: Plan, batch: list[Job], started_s: float) -> list[Result]:
    """Execute a batch, and each of its jobs by itself if that fails.

    Parameters
    ----------
    instance : Instance
    plan : Plan
    batch : list of Job
    started_s : float
        When they left the queue.

    Returns
    -------
    list of Result
        Every job is in one of them.
    """
    rows = [job.rows for job in batch]
    try:
        if isinstance(instance, CallInstance):
            calls = [Call(j.inputs, j.wanted, j.id, j.parameters, j.timeout_s, j.given_up) for j in batch]
            return _results(batch, started_s, *execute_calls(instance, plan, calls, rows))
        wanted = batch[0].wanted
        if len(batch) > 1 and any(job.wanted != wanted for job in batch):
            wanted = tuple(output.name for output in plan.spec.outputs)
        return [Result(batch, started_s, execute(instance, plan, [job.inputs for job in batch], rows, wanted))]
    except InferenceError as error:
        if len(batch) == 1:
            return [Result(batch, started_s, without_frames(error))]
    return [attempt(instance, plan, [job], started_s)[0] for job in batch]


def _results(batch: list[Job], started_s: float, done: Execution, errors: Mapping[int, InferenceError]) -> list[Result]:
    results = [Result([batch[position]], started_s, without_frames(error)) for position, error in errors.items()]
    if succeeded := [job for position, job in enumerate(batch) if position not in errors]:
        results.append(Result(succeeded, started_s, done))
    return results
