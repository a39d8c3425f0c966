"""Models of PyTorch: TorchScript and ``torch.export``, on the CPU and on GPUs.

TorchScript says nothing of datatypes and shapes, so it needs a config.pbtxt, as in Triton; a file of ``torch.export``
does not. :mod:`sonic.server.backends.torch.naming` says how inputs and outputs are named. ``parameters`` that count:

- ``intra_op_thread_count`` (or ``INTRA_OP_THREAD_COUNT``): threads of an instance on the CPU, 1 unless given. PyTorch's
  setting belongs to the thread that executes, and is the default of threads to come. So it is set for each execution
  and put back after it, and models with different ones can be served side by side; what does not follow it is ``fork``
  inside of a TorchScript model, and a thread of the same process that first uses PyTorch while a model executes starts
  with that model's number.
- ``merge``: ``measured`` unless given, or ``never``: requests are not put together, since PyTorch's kernels let the
  last bits of a row depend on the number of rows (in a ParticleNet 2, 3, 7 and 10 jets out of 50 came out
  differently). ``always`` for a model whose owner vouches for it or does not mind: requests are merged as
  config.pbtxt says, and TorchScript may optimise itself while it runs, which changes bits from one call to the next,
  unless ``DISABLE_OPTIMIZED_EXECUTION`` is ``true``.
- ``INFERENCE_MODE``: ``false`` for a model that differentiates while it runs.

One module executes for all instances on a device, so that weights are there once; a ``forward`` that keeps state is not
served rightly. Copies: inputs once, into memory that has PyTorch's alignment (a sum's bits may depend on the address)
and that the model may write to, on a GPU pinned and from there to the device; outputs not at all on the CPU and once
on a GPU. They are read-only, since the model may give its own weights.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import dtype_of
from sonic.server.backends.base import Backend, bool_parameter, choice_parameter, int_parameter
from sonic.server.backends.devices import place
from sonic.server.backends.torch.instance import Settings, TorchInstance
from sonic.server.backends.torch.naming import arguments_of, positions_of
from sonic.server.backends.torch.programs import load, pytorch
from sonic.server.execution.instances import Rows
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.server.backends.base import LoadContext
    from sonic.server.backends.completion import Signature
    from sonic.server.execution.instances import Instance

log = logging.getLogger("sonic.server")

_EXPORTED = "model.pt2"


class TorchBackend(Backend):
    """One version of a model of PyTorch."""

    platform: ClassVar[str] = "pytorch_libtorch"
    filename: ClassVar[str] = "model.pt"

    def __init__(self, context: LoadContext) -> None:
        config = context.config
        torch = pytorch()
        self._name = context.name
        self._path = context.folder / (config.default_model_filename or self._filename(context.folder))
        threads = int_parameter(config, "intra_op_thread_count", int_parameter(config, "INTRA_OP_THREAD_COUNT", 1))
        self._threads = min(max(threads, 1), context.cores)
        self._merge = choice_parameter(config, "merge", ("measured", "always", "never"))
        plain = bool_parameter(config, "DISABLE_OPTIMIZED_EXECUTION", default=False)
        self._optimises = self._merge == "always" and not plain
        self._differentiates = not bool_parameter(config, "INFERENCE_MODE", default=True)
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        self._devices = place(config, context.name, gpus=gpus, cores=context.cores, threads=self._threads)
        self._programs = {
            gpu: load(self._path, "cpu" if gpu is None else f"cuda:{gpu}") for gpu in dict.fromkeys(self._devices)
        }
        self._program = self._programs[self._devices[0]]
        inputs = [tensor.name for tensor in config.input] or list(self._program.arguments)
        self._arguments = (
            {} if self._program.dictionary else arguments_of(inputs, self._program.arguments, self._program.required)
        )
        for argument, name in self._arguments.items():
            if (kind := self._program.others.get(argument)) is not None:
                raise ConfigError(f"input {name!r} is for argument {argument!r} of forward, which is a {kind}")
        self._signature = self._renamed(config)

    @classmethod
    def serves(cls, folder: Path) -> bool:
        """Whether there is a file of TorchScript or of ``torch.export``."""
        return (folder / cls._filename(folder)).is_file()

    @classmethod
    def _filename(cls, folder: Path) -> str:
        return _EXPORTED if (folder / _EXPORTED).is_file() and not (folder / cls.filename).is_file() else cls.filename

    @property
    def signature(self) -> Signature | None:
        """What a file of ``torch.export`` says, by the names of the configuration; None for TorchScript."""
        return self._signature

    def amend(self, config: ModelConfig) -> None:
        """Name the file."""
        config.default_model_filename = self._path.name
        if self._signature is None and not (config.input and config.output):
            raise ConfigError(
                "TorchScript does not say what its tensors are: a config.pbtxt with input and output is required"
            )
        self._inputs = {tensor.name: dtype_of(tensor.data_type) for tensor in config.input}
        self._outputs = {tensor.name: dtype_of(tensor.data_type) for tensor in config.output}
        if self._signature is not None:
            self._inputs = self._inputs or {tensor.name: tensor.dtype for tensor in self._signature.inputs}
            self._outputs = self._outputs or {tensor.name: tensor.dtype for tensor in self._signature.outputs}
        for name, dtype in (*self._inputs.items(), *self._outputs.items()):
            if dtype is DType.BYTES:
                raise ConfigError(f"tensor {name!r} has texts, of which PyTorch makes no tensors")
        if config.HasField("dynamic_batching") and self._merge == "measured":
            log.warning(
                "model %r: requests are not merged, for PyTorch lets the bits of a row depend on the rows beside it; "
                "the parameter merge with the value always merges them",
                self._name,
            )

    def rows(self) -> Rows:
        """Merge only where config.pbtxt says so."""
        return Rows(merge=self._merge == "always")

    def instances(self) -> Sequence[Instance]:
        """Return one for each place that the instance groups ask for and that there is."""
        settings = Settings(
            name=self._name,
            threads=self._threads,
            optimises=self._optimises,
            differentiates=self._differentiates,
            inputs=self._inputs,
            outputs=self._outputs,
            arguments=self._arguments,
            positions=positions_of(tuple(self._outputs)),
        )
        return [TorchInstance(self._programs[gpu], settings, gpu) for gpu in self._devices]

    def close(self) -> None:
        """Let the modules go; their memory returns with the last reference."""
        self._programs.clear()

    def _renamed(self, config: ModelConfig) -> Signature | None:
        said = self._program.signature
        if said is None:
            return None
        inputs = tuple(replace(tensor, name=self._arguments.get(tensor.name, tensor.name)) for tensor in said.inputs)
        outputs = list(said.outputs)
        if not self._program.keyed:
            for name, position in positions_of([tensor.name for tensor in config.output]).items():
                if position >= len(outputs):
                    raise ConfigError(f"output {name!r} counts past the {len(outputs)} results of forward")
                outputs[position] = replace(outputs[position], name=name)
        return replace(said, inputs=inputs, outputs=tuple(outputs))
