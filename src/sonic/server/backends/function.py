"""Functions declared with ``@sonic.service``: given to :func:`sonic.serve`, or in a model folder's ``service.py``.

They run in the server's process, as a ``model.py`` does: what :mod:`sonic.server.backends.python` says of that holds.
An instance is called by one thread at a time; a class has an object for each.

Copies: inputs are what came off the wire, read-only; outputs are copied when they are returned, so that a function may
use its buffers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sonic.errors import ConfigError, InvalidRequest, ModelFailed, one_line
from sonic.protocol.modelconfig import data_type_of
from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelInstanceGroup
from sonic.server.backends.base import Backend, instance_count
from sonic.server.backends.python.importing import import_file
from sonic.server.backends.results import own, plain
from sonic.server.backends.services import services_in
from sonic.server.execution.instances import CallInstance, Instance, Reply
from sonic.server.failures import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sonic.errors import InferenceError
    from sonic.server.backends.base import LoadContext
    from sonic.server.backends.python.importing import ModelPackage
    from sonic.server.backends.services import Service
    from sonic.server.execution.instances import Call
    from sonic.specs import TensorSpec


class FunctionBackend(Backend):
    """One version of a service."""

    platform: ClassVar[str] = "function"
    filename: ClassVar[str] = "service.py"

    def __init__(self, context: LoadContext) -> None:
        self._package: ModelPackage | None = None
        self._context = context
        if context.service is not None:
            self._service = context.service
            return
        path = context.folder / (context.config.default_model_filename or self.filename)
        if not path.is_file():
            raise ConfigError(f"there is no file {path}")
        self._package, module = import_file(path)
        try:
            self._service = _one(services_in(module), context.name, path)
        except BaseException:
            self._package.close()
            raise

    def amend(self, config: ModelConfig) -> None:
        """Write what was declared; a config.pbtxt may say how it is batched, and how many instances there are."""
        if config.input or config.output:
            raise ConfigError("a service declares its inputs and outputs: a config.pbtxt beside it names none")
        declared = config_of(self._service)
        if config.max_batch_size and not declared.max_batch_size:
            raise ConfigError(f"max_batch_size is {config.max_batch_size}, and the service takes no batches")
        config.max_batch_size = config.max_batch_size or declared.max_batch_size
        config.input.MergeFrom(declared.input)
        config.output.MergeFrom(declared.output)
        if declared.HasField("dynamic_batching") and config.WhichOneof("scheduling_choice") is None:
            config.dynamic_batching.CopyFrom(declared.dynamic_batching)
        if not config.instance_group:
            config.instance_group.MergeFrom(declared.instance_group)
        self._config = config

    def instances(self) -> Sequence[Instance]:
        """Return as many as are declared and the cores carry."""
        kind = _RaggedInstance if self._service.ragged else _RowsInstance
        count = instance_count(self._config, self._context.cores)
        return [kind(self._called(), self._service, self._context.name) for _ in range(count)]

    def close(self) -> None:
        """Forget the modules of its file."""
        if self._package is not None:
            self._package.close()

    def _called(self) -> Callable[..., Any]:
        target = self._service.target
        if not isinstance(target, type):
            return target
        with guarded(f"{target.__name__}()"):
            made: Callable[..., Any] = target()
        return made


def config_of(service: Service) -> ModelConfig:
    """Return a service's configuration, without a name."""
    batched = service.max_batch > 0
    config = ModelConfig(max_batch_size=service.max_batch)
    for tensor in service.inputs:
        dims = tensor.shape[1:] if batched else tensor.shape
        config.input.add(
            name=tensor.name,
            data_type=data_type_of(tensor.dtype),
            dims=dims,
            optional=tensor.optional,
            allow_ragged_batch=service.ragged and -1 in dims,
        )
    for tensor in service.outputs:
        dims = tensor.shape[1:] if batched else tensor.shape
        config.output.add(name=tensor.name, data_type=data_type_of(tensor.dtype), dims=dims)
    if service.max_batch > 1:
        config.dynamic_batching.SetInParent()
        config.dynamic_batching.max_queue_delay_microseconds = service.max_delay_us
    config.instance_group.add(count=service.instances, kind=ModelInstanceGroup.KIND_CPU)
    return config


def _one(there: Sequence[Service], name: str, path: Path) -> Service:
    if len(there) == 1:
        return there[0]
    named = [each for each in there if each.name == name]
    if len(named) == 1:
        return named[0]
    names = ", ".join(each.name for each in there) or "none"
    raise ConfigError(f"{path} has one function with @sonic.service, or one named {name!r}: it has {names}")


class _RowsInstance(Instance):
    def __init__(self, function: Callable[..., Any], service: Service, name: str) -> None:
        self._function = function
        self._outputs = service.outputs
        self._name = name

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        result = self._function(**{name: _read_only(array) for name, array in inputs.items()})
        given = _by_name(result, self._outputs, self._name)
        return {name: own(_array(given[name], name, self._name)) for name in wanted if name in given}


class _RaggedInstance(CallInstance):
    def __init__(self, function: Callable[..., Any], service: Service, name: str) -> None:
        self._function = function
        self._outputs = service.outputs
        self._name = name

    def run_calls(self, calls: Sequence[Call]) -> Sequence[Reply | InferenceError]:
        rows = [len(next(iter(call.inputs.values()))) for call in calls]
        lists = {name: [_read_only(row) for call in calls for row in call.inputs[name]] for name in calls[0].inputs}
        given = _by_name(self._function(**lists), self._outputs, self._name)
        for name, listed in given.items():
            if isinstance(listed, Mapping | str) or not hasattr(listed, "__len__") or len(listed) != sum(rows):
                what = f"{len(listed)} rows" if hasattr(listed, "__len__") else type(listed).__name__
                raise ModelFailed(
                    f"model {self._name!r}, output {name!r}: expected a list of {sum(rows)} rows, the model gave {what}"
                )
        outcomes: list[Reply | InferenceError] = []
        start = 0
        for call, count in zip(calls, rows, strict=True):
            part = slice(start, start + count)
            outcomes.append(self._reply({name: given[name][part] for name in call.wanted if name in given}))
            start += count
        return outcomes

    def _reply(self, lists: Mapping[str, Sequence[Any]]) -> Reply | InferenceError:
        outputs = {}
        for name, rows in lists.items():
            arrays = [_array(row, name, self._name) for row in rows]
            if len({array.shape for array in arrays}) > 1:
                return InvalidRequest(
                    f"model {self._name!r}, output {name!r}: the rows of this request give different shapes, "
                    f"{list(arrays[0].shape)} and others: send each in a request of its own"
                )
            outputs[name] = own(arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays))
        return Reply(outputs)


def _read_only(array: np.ndarray) -> np.ndarray:
    # A caller in the same process has the array, too.
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _by_name(result: Any, declared: Sequence[TensorSpec], model: str) -> Mapping[str, Any]:
    if isinstance(result, Mapping):
        return result
    names = [tensor.name for tensor in declared]
    if len(names) == 1:
        return {names[0]: result}
    if not isinstance(result, tuple) or len(result) != len(names):
        given = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise ModelFailed(f"model {model!r} returned {given}, expected a dict or a tuple of {', '.join(names)}")
    return dict(zip(names, result, strict=True))


def _array(value: Any, name: str, model: str) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return plain(value, name, model)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ModelFailed(f"model {model!r}, output {name!r}: expected an array, {one_line(error)}") from None
