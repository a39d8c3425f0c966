from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ModelFailed, Unsupported
from sonic.protocol.messages import InferResponse
from sonic.server.execution.instances import CallInstance, Instance, Reply, Rows
from sonic.server.execution.plan import Plan
from sonic.server.scheduling.attempts import attempt
from sonic.server.scheduling.job import Job
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.errors import InferenceError
    from sonic.server.execution.instances import Call

TENSORS = tuple(TensorSpec(name, DType.FP32, (-1, 1)) for name in "xyz")
PLAN = Plan(ModelSpec("m", "1", TENSORS[:1], TENSORS[1:], 8), Rows(), {}, {})


class Doubling(Instance):
    """Fails on what is negative."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, tuple[str, ...]]] = []

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        self.calls.append((len(inputs["x"]), tuple(wanted)))
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return dict.fromkeys(wanted, 2 * inputs["x"])


class Listed(CallInstance):
    """Refuses what is negative, one by one."""

    def run_calls(self, calls: Sequence[Call]) -> Sequence[Reply | InferenceError]:
        return [
            Unsupported("negative") if (call.inputs["x"] < 0).any() else Reply({"y": 2 * call.inputs["x"]})
            for call in calls
        ]


def jobs(*values: float, wanted: tuple[str, ...] = ("y",)) -> list[Job]:
    return [
        Job({"x": np.array([[value]], np.float32)}, 1, wanted, lambda r: InferResponse("m", "1", r.outputs))
        for value in values
    ]


def outcome(job: Job) -> Any:
    error = job.future.exception(0)
    return error if error is not None else job.future.result(0).outputs["y"].tolist()


def test_jobs_share_an_execution() -> None:
    instance, batch = Doubling(), jobs(1, 2)
    (result,) = attempt(instance, PLAN, batch, 3.0)
    assert (result.jobs, result.started_s, instance.calls) == (batch, 3.0, [(2, ("y",))])


def test_what_any_of_them_wants_is_made() -> None:
    instance = Doubling()
    attempt(instance, PLAN, [*jobs(1), *jobs(2, wanted=("z",))], 0.0)
    assert instance.calls == [(2, ("y", "z"))]


@pytest.mark.parametrize("instance", [Doubling(), Listed()])
def test_a_failure_reaches_only_who_causes_it(instance: Instance) -> None:
    batch = jobs(1, -1, 3)
    for result in attempt(instance, PLAN, batch, 0.0):
        for job in result.jobs:
            job.future.set_running_or_notify_cancel()
            job.deliver(result)
    assert [outcome(batch[0]), outcome(batch[2])] == [[[2]], [[6]]]
    assert isinstance(outcome(batch[1]), ModelFailed | Unsupported)


def test_an_error_holds_no_frames() -> None:
    (result,) = attempt(Doubling(), PLAN, jobs(-1), 0.0)
    assert isinstance(result.outcome, ModelFailed)
    assert result.outcome.__traceback__ is None
