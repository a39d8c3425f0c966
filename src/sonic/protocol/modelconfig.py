"""config.pbtxt <-> ModelConfig, completed and checked as Triton does, and what a client sees of it.

Specification: Triton's model configuration. The settings that Sonic does not act on are read and given back.
"""

from __future__ import annotations

import copy
import json
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import json_format, text_format

from sonic.errors import ConfigError, shown
from sonic.protocol.proto.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup
from sonic.protocol.tensors import MAX_DIMENSIONS
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Kind(NamedTuple):
    backend: str
    platforms: tuple[str, ...]
    filename: str


_KINDS = (
    _Kind("onnxruntime", ("onnxruntime_onnx",), "model.onnx"),
    _Kind("pytorch", ("pytorch_libtorch",), "model.pt"),
    _Kind("python", (), "model.py"),
)


def parse(text: str, where: str = "config.pbtxt", *, strict: bool = True) -> ModelConfig:
    """Read the text of a config.pbtxt.

    Parameters
    ----------
    text : str
    where : str
        Name of the file, for messages.
    strict : bool
        Whether a field that is not known is an error; otherwise it is left out.

    Raises
    ------
    ConfigError
        If it cannot be read: with the line, the column and what is wrong there.
    """
    try:
        return text_format.Parse(text, ModelConfig(), allow_unknown_field=not strict)
    except text_format.ParseError as error:
        raise ConfigError(f"{where}:{' '.join(str(error).split())}") from None


def parse_json(text: str, where: str) -> ModelConfig:
    """Read a configuration as JSON, with the names of config.pbtxt or as protobuf writes them.

    Parameters
    ----------
    text : str
    where : str
        What it is, for messages.

    Raises
    ------
    ConfigError
        If it is no configuration: with what is wrong.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise json_format.ParseError(f"expected an object, given {type(document).__name__}")
        if "\\u" in text:  # halves of characters pass json, and protobuf trips over them
            json.dumps(document, ensure_ascii=False).encode()
        return json_format.ParseDict(document, ModelConfig())
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None


def write(config: ModelConfig) -> str:
    """Text of a configuration, as it stands in a config.pbtxt."""
    return text_format.MessageToString(config)


def normalise(config: ModelConfig, name: str = "") -> ModelConfig:
    """Fill in what a configuration leaves to its defaults, as Triton does.

    Parameters
    ----------
    config : ModelConfig
        Not changed.
    name : str
        The model's folder, which names it if the configuration does not.

    Returns
    -------
    ModelConfig
        With backend, platform and file name, version policy, preferred batch size, what Triton says of memory, and
        instance groups that have a name, a kind and a count. One of KIND_AUTO is for the CPU here, unless it names
        GPUs; which GPUs there are, and so where its instances go, is found out by the backend that loads the model.
    """
    config = copy.deepcopy(config)
    config.name = config.name or name
    if config.HasField("ensemble_scheduling"):
        config.platform = config.platform or "ensemble"
    _complete_kind(config)
    if not config.HasField("version_policy"):
        config.version_policy.latest.num_versions = 1
    if config.HasField("dynamic_batching") and config.max_batch_size > 0:
        batching = config.dynamic_batching
        if not batching.preferred_batch_size:
            batching.preferred_batch_size.append(config.max_batch_size)
    if config.HasField("ensemble_scheduling"):
        config.model_transaction_policy.SetInParent()
    else:
        _complete_instances(config)
        _complete_optimization(config)
    return config


def validate(config: ModelConfig) -> None:
    """Check a normalised configuration whose inputs and outputs are complete.

    Raises
    ------
    ConfigError
        With the model's name and the first thing that is wrong.
    """
    for complaint in _complaints(config):
        raise ConfigError(f"configuration of model {config.name!r}: {complaint}")


def check_filename(config: ModelConfig) -> None:
    """Check that the model's file is in its folder, by its name.

    To be called before it is opened: a ``model.py`` is executed, and a configuration may be a client's. Where a link
    leads to is the owner's business.

    Raises
    ------
    ConfigError
    """
    name = config.default_model_filename
    parts = name.replace("\\", "/").split("/")
    if name and (not parts[0] or ".." in parts or "\0" in name):
        raise ConfigError(f"default_model_filename {shown(name)} is not in the model's folder")


def to_spec(config: ModelConfig, version: str) -> ModelSpec:
    """Return what a client sees of a model: shapes with the batch dimension where there is one.

    Raises
    ------
    ConfigError
        If a tensor has no datatype.
    """
    batch = (-1,) if config.max_batch_size > 0 else ()
    inputs = tuple(
        TensorSpec(t.name, dtype_of(t.data_type), (*batch, *t.dims), optional=t.optional) for t in config.input
    )
    outputs = tuple(TensorSpec(t.name, dtype_of(t.data_type), (*batch, *t.dims)) for t in config.output)
    return ModelSpec(config.name, version, inputs, outputs, config.max_batch_size, config.platform or config.backend)


def dtype_of(data_type: int) -> DType:
    """Datatype that a configuration names TYPE_FP32 and the like.

    Raises
    ------
    ConfigError
        For TYPE_INVALID, which is also what a configuration without a datatype has.
    """
    name = DataType.Name(data_type).removeprefix("TYPE_") if data_type in DataType.values() else "INVALID"
    if name == "INVALID":
        raise ConfigError("a tensor's data_type is missing or unknown")
    return DType.BYTES if name == "STRING" else DType[name]


def data_type_of(dtype: DType) -> int:
    """Value of a configuration's data_type."""
    return int(DataType.Value("TYPE_STRING" if dtype is DType.BYTES else f"TYPE_{dtype.name}"))


def _complete_kind(config: ModelConfig) -> None:
    for kind in _KINDS:
        named = config.backend or config.platform
        if (
            named == kind.backend
            or named in kind.platforms
            or (not named and config.default_model_filename == kind.filename)
        ):
            config.backend = kind.backend
            if kind.platforms:
                config.platform = config.platform or kind.platforms[0]
            config.default_model_filename = config.default_model_filename or kind.filename
            return


def _complete_instances(config: ModelConfig) -> None:
    if not config.instance_group:
        config.instance_group.add(name=config.name)
    for position, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{position}"
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            group.kind = ModelInstanceGroup.KIND_GPU if group.gpus else ModelInstanceGroup.KIND_CPU
        group.count = max(group.count, 1)


def _complete_optimization(config: ModelConfig) -> None:
    for memory in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(memory):
            getattr(config.optimization, memory).enable = True


def _complaints(config: ModelConfig) -> Iterable[str]:
    if not config.name:
        yield "it has no name"
    if not config.backend and config.platform != "ensemble":
        yield f"no backend serves platform {config.platform!r}" if config.platform else "it names no backend"
    for kind in _KINDS:
        if config.backend == kind.backend and config.platform not in ("", kind.backend, *kind.platforms):
            yield f"backend {config.backend!r} does not serve platform {config.platform!r}"
    if config.max_batch_size < 0:
        yield f"max_batch_size is {config.max_batch_size}, expected 0 or more"
    if (config.platform == "ensemble") != config.HasField("ensemble_scheduling"):
        yield "platform 'ensemble' and ensemble_scheduling go together"
    for what, listed in (("input", config.input), ("output", config.output)):
        yield from _tensor_complaints(what, listed)
    if config.HasField("dynamic_batching"):
        yield from _batching_complaints(config)
    for group in config.instance_group:
        if group.kind == ModelInstanceGroup.KIND_CPU and group.gpus:
            yield f"instance group {group.name!r} is KIND_CPU and names gpus"


def _tensor_complaints(what: str, listed: Iterable[Any]) -> Iterable[str]:
    seen: set[str] = set()
    for position, tensor in enumerate(listed):
        label = f"{what} {tensor.name!r}"
        if not tensor.name:
            yield f"{what} number {position} has no name"
        if tensor.name in seen:
            yield f"{label} is there twice"
        seen.add(tensor.name)
        if tensor.data_type == DataType.TYPE_INVALID:
            yield f"{label} has no data_type"
        dimensions = max(len(tensor.dims), len(tensor.reshape.shape))
        if dimensions > MAX_DIMENSIONS:
            yield f"{label} has {dimensions} dimensions, expected at most {MAX_DIMENSIONS}"
        for dim in (*tensor.dims, *tensor.reshape.shape):
            if dim < -1 or dim == 0:
                yield f"{label} has dimension {dim}, expected 1 or more, or -1"
        # Whatever sizes the variable ones have, which a request only tells.
        if tensor.HasField("reshape") and _elements(tensor.dims) != _elements(tensor.reshape.shape):
            given = f"from {list(tensor.dims)} to {list(tensor.reshape.shape)}"
            yield f"{label} cannot be reshaped {given}: variable dimensions or the product of the others differ"


def _elements(shape: Iterable[int]) -> tuple[int, int]:
    sizes = list(shape)
    return sizes.count(-1), prod(size for size in sizes if size != -1)


def _batching_complaints(config: ModelConfig) -> Iterable[str]:
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if not 0 < size <= config.max_batch_size:
            yield f"preferred_batch_size {size} is not between 1 and max_batch_size {config.max_batch_size}"
    levels = batching.priority_levels
    if levels and not 0 < batching.default_priority_level <= levels:
        yield f"default_priority_level {batching.default_priority_level} is not between 1 and {levels}"
    for level in batching.priority_queue_policy:
        if not 0 < level <= levels:
            yield f"priority_queue_policy is for level {level}, which is not between 1 and {levels}"
    if batching.preserve_ordering and levels > 1:
        yield "preserve_ordering allows one priority level only"
