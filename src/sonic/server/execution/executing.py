"""One execution of a model for one or several requests: merge, run, check, split.

Copies: inputs are copied once when requests are merged or rows are repeated, and not at all for a request that goes
alone; outputs are views of what the model returned.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InferenceError, ModelFailed, one_line
from sonic.server.execution.instances import Reply
from sonic.server.execution.plan import Execution
from sonic.server.failures import is_interrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sonic.server.execution.instances import Call, CallInstance, Instance
    from sonic.server.execution.plan import Plan
    from sonic.specs import TensorSpec

    Arrays = Mapping[str, np.ndarray]


def execute(
    instance: Instance, plan: Plan, requests: Sequence[Arrays], rows: Sequence[int], wanted: Sequence[str]
) -> Execution:
    """Execute a model once.

    Parameters
    ----------
    instance : Instance
    plan : Plan
    requests : sequence of mapping of str to ndarray
        Checked inputs, of the same names, datatypes and shapes but for the rows.
    rows : sequence of int
        Rows of each request; not looked at if the model has no batch dimension.
    wanted : sequence of str

    Raises
    ------
    ModelFailed
        If the model raises, or what it returns is not what it declares.
    InferenceError
        As the backend raised it.
    """
    try:
        return _execute(instance, plan, requests, rows, wanted)
    except InferenceError:
        raise
    except BaseException as error:  # a model is anybody's code
        if is_interrupt(error):
            raise
        failure = _failure(f"model {plan.spec.name!r} failed", error)
    raise failure


def execute_calls(
    instance: CallInstance, plan: Plan, calls: Sequence[Call], rows: Sequence[int]
) -> tuple[Execution, Mapping[int, InferenceError]]:
    """Execute a model once, for requests that it is given as they are.

    Parameters
    ----------
    instance : CallInstance
    plan : Plan
    calls : sequence of Call
        Checked.
    rows : sequence of int
        As for :func:`execute`.

    Returns
    -------
    done : Execution
        With the replies to the requests that succeeded.
    errors : mapping of int to InferenceError
        Those of the others, by position.

    Raises
    ------
    ModelFailed, InferenceError
        As :func:`execute` does, for all requests together.
    """
    try:
        return _execute_calls(instance, plan, calls, rows)
    except InferenceError:
        raise
    except BaseException as error:  # a model is anybody's code
        if is_interrupt(error):
            raise
        failure = _failure(instance.failed if instance.name else f"model {plan.spec.name!r} failed", error)
    raise failure


def _failure(what: str, error: BaseException) -> ModelFailed:
    failure = ModelFailed(f"{what}: {one_line(error)}")
    # As text, where a traceback would keep the arrays of the whole batch.
    failure.add_note("".join(traceback.format_exception(error)))
    return failure


def _execute_calls(
    instance: CallInstance, plan: Plan, calls: Sequence[Call], rows: Sequence[int]
) -> tuple[Execution, Mapping[int, InferenceError]]:
    start_ns = perf_counter_ns()
    sizes = rows if plan.batches else [None] * len(calls)
    calls = [replace(call, inputs=_alone(plan, call.inputs, size)) for call, size in zip(calls, sizes, strict=True)]
    ready_ns = perf_counter_ns()
    given = instance.run_calls(calls)
    run_ns = perf_counter_ns()
    if len(given) != len(calls):
        raise ModelFailed(f"model {plan.spec.name!r} gave {len(given)} responses to {len(calls)} requests")
    replies: list[Reply] = []
    errors: dict[int, InferenceError] = {}
    for position, (call, outcome, count) in enumerate(zip(calls, given, rows, strict=True)):
        if isinstance(outcome, InferenceError):
            errors[position] = outcome
            continue
        try:
            outputs = {name: _checked(plan, name, outcome.outputs, count) for name in call.wanted}
            replies.append(Reply(outputs, outcome.parameters))
        except ModelFailed as error:
            errors[position] = error
    return Execution(replies, ready_ns - start_ns, run_ns - ready_ns, perf_counter_ns() - run_ns), errors


def _execute(
    instance: Instance, plan: Plan, requests: Sequence[Arrays], rows: Sequence[int], wanted: Sequence[str]
) -> Execution:
    start_ns = perf_counter_ns()
    inputs, starts, total = _merge(plan, requests, rows)
    merged_ns = perf_counter_ns()
    given = instance.run(inputs, wanted)
    run_ns = perf_counter_ns()
    scattered = () if plan.ragged is None else [name for name in wanted if name in plan.ragged.scattered]
    checked = {name: _checked(plan, name, given, total) for name in wanted if name not in scattered}
    outputs: list[dict[str, np.ndarray]] = [checked]
    if plan.batches and total != rows[0]:  # else nothing was put beside it
        outputs = [
            {name: array[start : start + count] for name, array in checked.items()}
            for start, count in zip(starts, rows, strict=True)
        ]
    for name in scattered:
        for output, part in zip(outputs, _scattered(plan, name, given, requests), strict=True):
            output[name] = part
    replies = [Reply(each, instance.parameters) for each in outputs]
    return Execution(replies, merged_ns - start_ns, run_ns - merged_ns, perf_counter_ns() - run_ns)


def _merge(plan: Plan, requests: Sequence[Arrays], rows: Sequence[int]) -> tuple[Arrays, Sequence[int], int]:
    if not plan.batches:
        (alone,) = requests
        return _reshaped(plan, alone, None), (0,), 0
    starts: list[int] = []
    total = 0
    for count in rows:
        starts.append(total)
        total += plan.padded(count)
    total = max(total, plan.rows.least)
    if plan.ragged is not None:
        flat = plan.ragged.flatten(requests)
        requests = [{name: request[name] for name in request if name not in flat} for request in requests]
        regular, *_ = _merge(replace(plan, ragged=None), requests, rows)
        return {**regular, **flat}, starts, total
    if len(requests) == 1 and total == rows[0]:
        return _reshaped(plan, requests[0], total), starts, total
    merged: dict[str, np.ndarray] = {}
    ends = [*starts[1:], total]
    for name, first in requests[0].items():
        whole = np.empty((total, *first.shape[1:]), first.dtype)
        for inputs, start, count, end in zip(requests, starts, rows, ends, strict=True):
            whole[start : start + count] = inputs[name]
            whole[start + count : end] = inputs[name][-1]
        merged[name] = whole
    return _reshaped(plan, merged, total), starts, total


def _alone(plan: Plan, inputs: Arrays, rows: int | None) -> Arrays:
    """Return the inputs of a request that is not merged, with those that the server makes of it."""
    regular = _reshaped(plan, inputs, rows)
    return regular if plan.ragged is None else {**regular, **plan.ragged.make([inputs])}


def _reshaped(plan: Plan, inputs: Arrays, rows: int | None) -> Arrays:
    made: dict[str, np.ndarray] = {}
    for name, given in inputs.items():
        array = given
        if name in plan.reshape_inputs:
            batch = () if rows is None else (rows,)
            declared = plan.spec.input(name).shape[len(batch) :]
            array = array.reshape((*batch, *_sizes(plan.reshape_inputs[name], declared, array.shape[len(batch) :])))
        # numpy's own function would turn a number without dimensions into a vector.
        made[name] = array if array.flags.c_contiguous else array.copy()
    return made


def _sizes(wanted: Sequence[int], declared: Sequence[int], given: Sequence[int]) -> Sequence[int]:
    """Sizes to reshape to: where several are open, those that are open in what is declared of the given, in order."""
    if wanted.count(-1) < 2:
        return wanted
    known = iter([size for size, said in zip(given, declared, strict=False) if said == -1])
    return [next(known, -1) if size == -1 else size for size in wanted]


def _checked(plan: Plan, name: str, given: Arrays, rows: int) -> np.ndarray:
    spec = plan.outputs[name]
    array = _given(plan, spec, given)
    if name in plan.reshape_outputs:
        batch = (rows,) if plan.batches else ()
        given_shape = array.shape[len(batch) :]
        sizes = (*batch, *_sizes(spec.shape[len(batch) :], plan.reshape_outputs[name], given_shape))
        try:
            array = array.reshape(sizes)
        except ValueError:
            raise _unlike(plan, name, f"shape {list(sizes)}", f"shape {list(array.shape)}") from None
    if not spec.accepts(array.shape) or (plan.batches and array.shape[0] != rows):
        expected = [rows, *spec.shape[1:]] if plan.batches else list(spec.shape)
        raise _unlike(plan, name, f"shape {expected}", f"shape {list(array.shape)}")
    return array


def _scattered(plan: Plan, name: str, given: Arrays, requests: Sequence[Arrays]) -> list[np.ndarray]:
    array = _given(plan, plan.outputs[name], given)
    assert plan.ragged is not None  # noqa: S101 - where the name is from
    try:
        return plan.ragged.scatter(name, array, requests)
    except ValueError as error:
        raise _unlike(plan, name, str(error), f"shape {list(array.shape)}") from None


def _given(plan: Plan, spec: TensorSpec, given: Arrays) -> np.ndarray:
    array = given.get(spec.name)
    if array is None:
        raise ModelFailed(f"model {plan.spec.name!r} did not return output {spec.name!r}")
    if array.dtype != spec.dtype.numpy:
        raise _unlike(plan, spec.name, spec.dtype.name, f"numpy dtype {array.dtype}")
    return array


def _unlike(plan: Plan, name: str, expected: str, given: str) -> ModelFailed:
    return ModelFailed(f"model {plan.spec.name!r}, output {name!r}: expected {expected}, the model gave {given}")
