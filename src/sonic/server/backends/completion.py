"""A model's configuration, completed from its file and checked against it. Pure but for the backend it is given."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.protocol.modelconfig import data_type_of, dtype_of, normalise, validate
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup
from sonic.server.execution.ragged import ragged_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelInput, ModelOutput
    from sonic.server.execution.ragged import Ragged
    from sonic.specs import DType, TensorSpec

DEFAULT_MAX_BATCH = 1024
"""max_batch_size of a model that can batch and whose owner says nothing."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Tensors of a model as its file declares them, the batch dimension included where it has one.

    Parameters
    ----------
    inputs, outputs : tuple of TensorSpec
    batch : bool
        Whether the first dimension of all of them is one and the same free dimension.
    most : int or None
        The largest size that it may have; None: any.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: bool
    most: int | None = None


def complete(
    config: ModelConfig, name: str, signature: Signature | None, *, default_max_batch: int = DEFAULT_MAX_BATCH
) -> ModelConfig:
    """Complete a configuration as Triton does.

    Without tensors of its own it gets the file's, a number, be it for each row, as a vector of one; if the first
    dimension of all of these is one and the same free dimension, also a largest batch, and dynamic batching if it does
    not say how to schedule. (Triton takes dimensions of different names to be the same one: a graph's nodes and edges
    would be batched.) What it does say must agree with the file.

    Parameters
    ----------
    config : ModelConfig
        As its owner wrote it; not changed.
    name : str
        The model's folder.
    signature : Signature or None
        What the file says; None: nothing.
    default_max_batch : int

    Raises
    ------
    ConfigError
        If it makes no sense, does not agree with the file, or asks for what is not offered.
    """
    config = copy.deepcopy(config)
    if config.name and config.name != name:
        raise ConfigError(f"configuration of model {name!r}: it is named {config.name!r}, unlike its folder")
    label = f"configuration of model {name!r}"
    _refuse_missing_features(config, label)
    if signature is not None:
        if signature.most is not None:
            default_max_batch = min(default_max_batch, signature.most)
            if config.max_batch_size > signature.most:
                raise ConfigError(
                    f"{label}: max_batch_size is {config.max_batch_size}, in the file at most {signature.most}"
                )
        if not config.input or not config.output:
            _fill(config, signature, label, default_max_batch)
        ragged = ragged_of(config)
        _compare("input", config.input, signature.inputs, config.max_batch_size, label, ragged)
        _compare("output", config.output, signature.outputs, config.max_batch_size, label, ragged)
    config = normalise(config, name)
    validate(config)
    return config


def with_instances(config: ModelConfig, devices: Sequence[int | None]) -> ModelConfig:
    """Return the configuration with the instances that there really are.

    Parameters
    ----------
    config : ModelConfig
    devices : sequence of int or None
        For each instance the GPU it executes on; None: the CPU.
    """
    config = copy.deepcopy(config)
    name = config.instance_group[0].name if config.instance_group else config.name
    del config.instance_group[:]
    for position, device in enumerate(dict.fromkeys(devices)):
        group = config.instance_group.add(
            name=name if not position else f"{config.name}_{position}",
            kind=ModelInstanceGroup.KIND_CPU if device is None else ModelInstanceGroup.KIND_GPU,
            count=list(devices).count(device),
        )
        if device is not None:
            group.gpus.append(device)
    return config


def _refuse_missing_features(config: ModelConfig, label: str) -> None:
    for asked, what in (
        (config.HasField("sequence_batching"), "sequence_batching"),
        (config.model_transaction_policy.decoupled, "a decoupled model_transaction_policy"),
    ):
        if asked:
            raise ConfigError(f"{label}: {what} is not offered")


def _fill(config: ModelConfig, signature: Signature, label: str, default_max_batch: int) -> None:
    if config.max_batch_size == 0 and signature.batch and not config.input and not config.output:
        config.max_batch_size = default_max_batch
    if config.max_batch_size > 1 and signature.batch and config.WhichOneof("scheduling_choice") is None:
        config.dynamic_batching.SetInParent()
    skip = 1 if config.max_batch_size else 0
    for what, target, tensors in (
        ("input", config.input, signature.inputs),
        ("output", config.output, signature.outputs),
    ):
        if target:
            continue
        for tensor in tensors:
            _check_batch(what, tensor, config.max_batch_size, label)
            added = target.add(name=tensor.name, data_type=data_type_of(tensor.dtype), dims=tensor.shape[skip:] or (1,))
            if len(tensor.shape) == skip:  # a number, which is a vector of one to clients
                added.reshape.SetInParent()


def _compare(
    what: str,
    configured: Iterable[ModelInput | ModelOutput],
    tensors: Sequence[TensorSpec],
    batch: int,
    label: str,
    ragged: Ragged | None,
) -> None:
    known = {tensor.name: tensor for tensor in tensors}
    configured = list(configured)
    made = {entry.name: entry for entry in ragged.made} if ragged is not None and what == "input" else {}
    for name, entry in made.items():
        if name not in known:
            raise ConfigError(f"{label}: the file has no input {name!r}, it has {', '.join(known)}")
        _check_flat(f"batch_input {name!r}", entry.dtype, entry.rank, known[name], label)
    for given in configured:
        if given.name not in known:
            raise ConfigError(f"{label}: the file has no {what} {given.name!r}, it has {', '.join(known)}")
        tensor = known[given.name]
        if ragged is not None and given.name in ragged.inputs and what == "input":
            _check_flat(f"ragged input {given.name!r}", dtype_of(given.data_type), 1, tensor, label)
            continue
        if dtype_of(given.data_type) is not tensor.dtype:
            raise ConfigError(
                f"{label}: {what} {given.name!r} is {dtype_of(given.data_type).name}, in the file {tensor.dtype.name}"
            )
        if ragged is not None and given.name in ragged.scattered and what == "output":
            continue
        _check_batch(what, tensor, batch, label)
        dims = tuple(given.reshape.shape if given.HasField("reshape") else given.dims)
        actual = tensor.shape[1:] if batch else tensor.shape
        if len(dims) != len(actual) or any(a != b and -1 not in (a, b) for a, b in zip(dims, actual, strict=True)):
            raise ConfigError(f"{label}: {what} {given.name!r} has dims {list(dims)}, in the file {list(actual)}")
    missing = known.keys() - {given.name for given in configured} - made.keys()
    if what == "input" and missing:
        raise ConfigError(f"{label}: it leaves out input {min(missing)!r} of the file")


def _check_flat(what: str, dtype: DType, rank: int, tensor: TensorSpec, label: str) -> None:
    if tensor.dtype is not dtype:
        raise ConfigError(f"{label}: {what} is {dtype.name}, in the file {tensor.dtype.name}")
    if len(tensor.shape) != rank or tensor.shape[0] != -1:
        shape = [-1] * rank
        raise ConfigError(f"{label}: {what} reaches the model as {shape}, in the file it is {list(tensor.shape)}")


def _check_batch(what: str, tensor: TensorSpec, batch: int, label: str) -> None:
    if batch and (not tensor.shape or tensor.shape[0] != -1):
        raise ConfigError(
            f"{label}: max_batch_size is {batch}, but {what} {tensor.name!r} of the file has the fixed shape "
            f"{list(tensor.shape)}"
        )
