"""Models written in Python: a ``model.py`` with Triton's ``TritonPythonModel`` contract.

It runs in the server's process: no start of another one, no copy between them, and every package that the server's
environment has. The price: a model that crashes the interpreter takes the server with it (one that raises fails its own
requests only), one that hangs keeps its instance until it returns, and one that computes in pure Python shares the GIL
with all else. An instance is called by one thread at a time, not always by the same one. All instances of a model
share the globals of its modules, each has a ``TritonPythonModel`` of its own; there is one unless config.pbtxt asks
for more. A model whose code cannot be trusted that far belongs into a server of its own.

Copies: inputs are copied when ``as_numpy`` is first called, so that a model may write into them, and outputs when it
returns them, so that it may use its buffers again.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from sonic.errors import (
    Cancelled,
    ConfigError,
    DataError,
    InvalidRequest,
    ModelFailed,
    Unavailable,
    Unsupported,
    one_line,
)
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.protocol.protojson import to_document
from sonic.server.backends.base import Backend
from sonic.server.backends.completion import complete, with_instances
from sonic.server.backends.devices import nvidia_gpus, place
from sonic.server.backends.python import pb_utils
from sonic.server.backends.python.importing import ModelPackage
from sonic.server.backends.results import own, plain
from sonic.server.execution.instances import CallInstance, Reply
from sonic.server.failures import guarded, is_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from sonic.errors import InferenceError
    from sonic.server.backends.base import LoadContext
    from sonic.server.execution.instances import Call, Instance

log = logging.getLogger("sonic.server")

_ERRORS: Mapping[int, Callable[[str], InferenceError]] = {
    pb_utils.TritonError.UNKNOWN: partial(ModelFailed, kind="unknown"),
    pb_utils.TritonError.NOT_FOUND: partial(ModelFailed, kind="not found"),
    pb_utils.TritonError.INVALID_ARG: InvalidRequest,
    pb_utils.TritonError.UNAVAILABLE: Unavailable,
    pb_utils.TritonError.UNSUPPORTED: Unsupported,
    pb_utils.TritonError.ALREADY_EXISTS: partial(ModelFailed, kind="already exists"),
    pb_utils.TritonError.CANCELLED: Cancelled,
}


class PythonBackend(Backend):
    """One version of a model.py."""

    filename: ClassVar[str] = "model.py"

    def __init__(self, context: LoadContext) -> None:
        config = context.config
        if "EXECUTION_ENV_PATH" in config.parameters:
            raise ConfigError(
                "parameter EXECUTION_ENV_PATH is not offered: a model.py runs in the server's environment"
            )
        self._context = context
        self._path = context.folder / (config.default_model_filename or self.filename)
        if not self._path.is_file():
            raise DataError(f"there is no file {self._path}")
        self._models: list[Any] = []
        utilities = ModuleType("triton_python_backend_utils", pb_utils.__doc__)
        utilities.__dict__.update(vars(pb_utils), get_model_dir=lambda: str(context.folder))
        # As in Triton, files in the model's folder are for all of its versions.
        folders = (self._path.parent, context.folder, context.folder.parent)
        self._package = ModelPackage(folders, {"triton_python_backend_utils": utilities})
        try:
            self._class = self._import()
        except BaseException:
            self._package.close()
            raise

    def amend(self, config: ModelConfig) -> None:
        """Let the model's ``auto_complete_config`` complete it."""
        if hasattr(self._class, "auto_complete_config"):
            given = pb_utils.ModelConfig(config)
            completed = self._guarded("auto_complete_config", self._class.auto_complete_config, given)
            if isinstance(completed, pb_utils.ModelConfig):  # as in Triton; it may be a copy of what it was given
                completed.write_to(config)
        if not config.output:
            raise ConfigError(
                "a model.py needs a config.pbtxt with input and output, or an auto_complete_config that adds them"
            )
        self._config = ModelConfig()
        self._config.CopyFrom(config)

    def instances(self) -> Sequence[Instance]:
        """Return one, or as many as config.pbtxt asks for and the cores carry."""
        context = self._context
        devices: Sequence[int | None] = [None]  # most use no GPU, and more than one instance is for those that ask
        if self._config.instance_group:
            devices = place(self._config, context.name, gpus=nvidia_gpus(), cores=context.cores)
        config = with_instances(complete(self._config, context.name, None), devices)
        text = json.dumps(to_document(config))
        made: list[Instance] = []
        groups = dict(zip(dict.fromkeys(devices), config.instance_group, strict=True))
        for number, gpu in enumerate(devices):
            label = f"{groups[gpu].name}_{devices[:number].count(gpu)}"
            model = self._guarded("__init__", self._class)
            self._models.append(model)
            if hasattr(model, "initialize"):
                arguments = {
                    "model_config": text,
                    "model_instance_kind": "CPU" if gpu is None else "GPU",
                    "model_instance_device_id": str(gpu or 0),
                    "model_instance_name": label,
                    "model_repository": str(context.folder.parent),
                    "model_version": context.version,
                    "model_name": context.name,
                }
                try:
                    self._guarded("initialize", model.initialize, arguments)
                except ConfigError:
                    self._models.pop()  # it never began: there is nothing to finalise
                    raise
            made.append(_PythonInstance(model, context.name, context.version, label, gpu))
        return made

    def close(self) -> None:
        """Finalise the models; what they raise then is logged."""
        for model in self._models:
            if hasattr(model, "finalize"):
                try:
                    model.finalize()
                except BaseException as error:  # anybody's code, and nothing depends on it
                    if is_interrupt(error):
                        raise
                    log.warning("model %r: finalize failed: %s", self._context.name, one_line(error))
        self._models.clear()
        self._package.close()

    def _import(self) -> Any:
        module = self._guarded(f"import of {self._path}", self._package.load, self._path.stem)
        found = getattr(module, "TritonPythonModel", None)
        if not isinstance(found, type):
            raise ConfigError(f"{self._path} defines no class TritonPythonModel")
        execute = getattr(found, "execute", None)
        if not callable(execute):
            raise ConfigError(f"TritonPythonModel in {self._path} has no method execute")
        return found

    def _guarded(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        with guarded(what), self._package.loading():
            return function(*arguments)


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run an ``async def execute`` to its end, in a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:  # for a caller in this process that has a loop, and waits in it
        return pool.submit(asyncio.run, coroutine).result()


class _PythonInstance(CallInstance):
    def __init__(self, model: Any, model_name: str, version: str, name: str, gpu: int | None) -> None:
        self._model = model
        self._model_name = model_name
        self._version = version
        self.name = name
        self.gpu = gpu

    def run_calls(self, calls: Sequence[Call]) -> Sequence[Reply | InferenceError]:
        requests = [pb_utils.InferenceRequest.of_call(call, self._model_name, self._version) for call in calls]
        responses = self._model.execute(requests)
        if inspect.iscoroutine(responses):
            responses = _await(responses)
        senders = [request.sender for request in requests]
        if responses is None and any(senders):
            responses = [None] * len(senders)
        if not isinstance(responses, list | tuple):
            raise ModelFailed(f"{self.failed}: Expected a list in the execute return, given {type(responses).__name__}")
        return [self._outcome(*answer) for answer in zip(responses, chain(senders, repeat(None)), strict=False)]

    def _outcome(self, response: Any, sender: pb_utils.ResponseSender | None) -> Reply | InferenceError:
        if sender is not None and (response is None or sender.sent):
            response = sender.wait()
        if not isinstance(response, pb_utils.InferenceResponse):
            expected = "Expected an 'InferenceResponse' object in the execute function return list"
            return ModelFailed(f"{self.failed}: {expected}, given {type(response).__name__}")
        error = response.error()
        if error is not None:
            return _ERRORS.get(error.code(), ModelFailed)(error.message())  # in the model's own words
        arrays = {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
        outputs = {name: own(plain(array, name, self._model_name)) for name, array in arrays.items()}
        return Reply(outputs, response.given_parameters())
