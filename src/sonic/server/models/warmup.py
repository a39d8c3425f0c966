"""Requests that a model executes before it is ready: ``model_warmup`` of its configuration."""

from __future__ import annotations

import logging
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, InferenceError, shown
from sonic.protocol import tensors
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.modelconfig import dtype_of
from sonic.protocol.rawfields import MAX_BYTES
from sonic.protocol.tensors import MAX_DIMENSIONS
from sonic.server.execution.executing import execute, execute_calls
from sonic.server.execution.instances import Call, CallInstance, Instance
from sonic.server.execution.validation import check_request
from sonic.server.scheduling.job import Job
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelWarmup
    from sonic.server.backends.base import RequestScheduler
    from sonic.server.execution.plan import Plan

log = logging.getLogger("sonic.server")

MAX_COUNT = 10_000
"""Executions of one sample."""

FOLDER = "warmup"
"""In the model's folder; files with inputs are in it."""

_POINTER = 8  # an element of BYTES in memory


def warm_up(
    config: ModelConfig,
    folder: Path,
    plan: Plan,
    instances: Sequence[Instance],
    scheduler: Callable[[], RequestScheduler | None] = lambda: None,
) -> int:
    """Execute the samples of a configuration on every instance. Nothing is counted.

    An ensemble, which has no instances, sends them through its steps, whose models count them as any request.

    Parameters
    ----------
    config : ModelConfig
    folder : Path
        The model's.
    plan : Plan
    instances : sequence of Instance
        Ones that are the same object are one.
    scheduler : callable
        Makes what sees requests through in their place; None: nothing does.

    Returns
    -------
    int
        Executions.

    Raises
    ------
    ConfigError
        If a sample does not fit the model, or the model fails on it.
    """
    if not config.model_warmup:
        return 0
    if (own := scheduler()) is not None:
        try:
            return _execute(config, folder, plan, [_Through(own)])
        finally:
            own.close()
    return _execute(config, folder, plan, instances)


class _Through(Instance):
    """What has a scheduler of its own, as an instance."""

    def __init__(self, scheduler: RequestScheduler) -> None:
        self._scheduler = scheduler

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        rows = next((len(array) for array in inputs.values() if array.ndim), 1)
        job = Job(inputs, rows, tuple(wanted), lambda reply: InferResponse("", "", reply.outputs))
        return self._scheduler.submit(job).result().outputs


def _execute(config: ModelConfig, folder: Path, plan: Plan, instances: Sequence[Instance]) -> int:
    executions = 0
    outputs = [tensor.name for tensor in plan.spec.outputs]
    for sample in config.model_warmup:
        if not sample.batch_size:  # as Triton does: nothing to execute
            continue
        requests, rows = _requests(sample, folder, plan)
        log.debug("model %r is running warmup sample %r", plan.spec.name, sample.name)
        for instance in {id(instance): instance for instance in instances}.values():
            for _ in range(max(1, sample.count)):
                try:
                    if isinstance(instance, CallInstance):
                        _, errors = execute_calls(instance, plan, [Call(inputs, outputs) for inputs in requests], rows)
                        for error in errors.values():
                            raise error
                    else:
                        execute(instance, plan, requests, rows, outputs)
                except InferenceError as error:
                    raise ConfigError(f"warm-up {sample.name!r}: {error}") from error
                executions += 1
    return executions


def _requests(sample: ModelWarmup, folder: Path, plan: Plan) -> tuple[list[dict[str, np.ndarray]], list[int]]:
    spec, size = plan.spec, sample.batch_size
    label = f"warm-up {sample.name!r}"
    if size > max(1, spec.max_batch_size):
        raise ConfigError(f"{label}: batch_size is {size}, the model takes at most {max(1, spec.max_batch_size)}")
    if sample.count > MAX_COUNT:
        raise ConfigError(f"{label}: count is {sample.count}, expected at most {MAX_COUNT}")
    given: dict[str, np.ndarray] = {}
    dtypes: dict[str, DType] = {}
    for name, entry in sample.inputs.items():
        what = f"{label}, input {name!r}"
        dtypes[name] = dtype_of(entry.data_type)
        if len(entry.dims) > MAX_DIMENSIONS or any(dim < 0 for dim in entry.dims):
            raise ConfigError(
                f"{what}: dims {shown(list(entry.dims))} must be fixed, and at most {MAX_DIMENSIONS} of them"
            )
        needed = size * prod(entry.dims) * (dtypes[name].wire_size or _POINTER)
        if needed > MAX_BYTES:
            raise ConfigError(f"{what}: the sample is {needed} bytes, and a request holds at most {MAX_BYTES}")
        array = _array(what, entry, dtypes[name], folder)
        given[name] = array[np.newaxis] if plan.batches else array
    try:
        inputs, _ = check_request(InferRequest(spec.name, given, dtypes=dtypes), spec)
    except InferenceError as error:
        raise ConfigError(f"{label}: {error}") from error
    if plan.ragged is not None:
        return [inputs] * size, [1] * size
    if size > 1:
        inputs = {name: np.repeat(array, size, axis=0) for name, array in inputs.items()}
    return [inputs], [size]


def _array(what: str, entry: ModelWarmup.Input, dtype: DType, folder: Path) -> np.ndarray:
    shape = tuple(entry.dims)
    kind = entry.WhichOneof("input_data_type")
    if kind == "input_data_file":
        return _from_file(what, entry.input_data_file, dtype, shape, folder / FOLDER)
    if kind is None or not getattr(entry, kind):
        raise ConfigError(f"{what}: expected zero_data, random_data or input_data_file")
    if dtype is DType.BYTES:
        return np.full(shape, b"" if kind == "zero_data" else b"random", np.object_)
    if kind == "zero_data":
        return np.zeros(shape, dtype.numpy)
    random = np.random.default_rng()
    if dtype.numpy.kind == "f":
        return random.random(shape).astype(dtype.numpy)
    return random.integers(0, 2, shape).astype(dtype.numpy)  # a larger number might be the index of nothing


def _from_file(what: str, name: str, dtype: DType, shape: tuple[int, ...], folder: Path) -> np.ndarray:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{what}: file {name!r} is not in {folder}")
    try:
        data = path.read_bytes()
        if dtype.wire_size is not None:  # it may have more, of which a sample is the beginning
            data = data[: prod(shape) * dtype.wire_size]
        return tensors.from_wire(data, dtype, shape)
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {path}: {error.strerror}") from error
    except InferenceError as error:
        raise ConfigError(f"{what}: file {name!r}: {error}") from error
