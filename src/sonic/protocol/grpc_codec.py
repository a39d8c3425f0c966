"""Messages <-> protobuf, for both ends of a gRPC connection.

ModelInfer and ModelStreamInfer are read and written as bytes, past protobuf's own handling of the raw tensors: an
array is copied once when a message is written and, if it is aligned there, not at all when one is read (protobuf
alone copies it three times and twice). Both ends therefore call grpc without a serialiser for these two. Everything
else is small and goes through the generated classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from sonic.errors import InvalidRequest, ModelFailed, Unsupported
from sonic.protocol import tensors
from sonic.protocol.messages import (
    Duration,
    InferRequest,
    InferResponse,
    ModelStatistics,
    ModelStatus,
    ServerInfo,
)
from sonic.protocol.modelconfig import spec_from_parts
from sonic.protocol.parameters import pop_timeout_s, put_timeout_s
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.rawfields import join_raw, split_raw
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from sonic.protocol.messages import Parameter
    from sonic.protocol.proto import model_config_pb2
    from sonic.protocol.tensors import Buffer
    from sonic.specs import ModelSpec

_RAW_INPUTS = 7
_RAW_OUTPUTS = 6

_CONTENTS = {
    DType.BOOL: "bool_contents",
    DType.INT8: "int_contents",
    DType.INT16: "int_contents",
    DType.INT32: "int_contents",
    DType.INT64: "int64_contents",
    DType.UINT8: "uint_contents",
    DType.UINT16: "uint_contents",
    DType.UINT32: "uint_contents",
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
    DType.BYTES: "bytes_contents",
}


# ---- inference ------------------------------------------------------------------------------------------------------


def request_to_wire(request: InferRequest) -> bytes:
    """Serialise a ModelInferRequest.

    Raises
    ------
    InvalidRequest
        If an array has no datatype of the protocol, or the whole exceeds what protobuf can hold.
    """
    message = pb.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.id)
    _write_parameters(message.parameters, put_timeout_s(request.parameters, request.timeout_s))
    raw = [_describe(message.inputs, name, array, request.dtype(name)) for name, array in request.inputs.items()]
    for name in request.outputs:
        message.outputs.add(name=name)
    return join_raw(message.SerializeToString(), raw, _RAW_INPUTS)


def request_from_wire(data: bytes) -> InferRequest:
    """Read a serialised ModelInferRequest.

    Parameters
    ----------
    data : bytes
        The arrays are views of it where they can be.

    Raises
    ------
    InvalidRequest
        If the bytes are no such message, or sizes, shapes and datatypes do not agree.
    Unsupported
        If a tensor is in shared memory, or an output is wanted as a classification.
    """
    header, raw = split_raw(data, _RAW_INPUTS)
    message = _parse(pb.ModelInferRequest, header)
    arrays, dtypes = _tensors("input", message.inputs, raw)
    for output in message.outputs:
        for parameter in output.parameters:
            if parameter == "classification" or parameter.startswith("shared_memory"):
                raise Unsupported(f"output {output.name!r}: {parameter} is not offered")
    parameters = _read_parameters(message.parameters)
    return InferRequest(
        model=message.model_name,
        inputs=arrays,
        version=message.model_version,
        id=message.id,
        outputs=tuple(output.name for output in message.outputs),
        timeout_s=pop_timeout_s(parameters),
        parameters=parameters,
        dtypes=dtypes,
    )


def response_to_wire(response: InferResponse) -> bytes:
    """Serialise a ModelInferResponse.

    Raises
    ------
    ModelFailed
        If an output has no datatype of the protocol, or the whole exceeds what protobuf can hold.
    """
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    try:
        _write_parameters(message.parameters, response.parameters)
        raw = [
            _describe(message.outputs, name, array, response.dtype(name)) for name, array in response.outputs.items()
        ]
        return join_raw(message.SerializeToString(), raw, _RAW_OUTPUTS)
    except InvalidRequest as error:  # what is wrong here is not the request
        raise ModelFailed(f"model {response.model!r} gave a response that cannot be sent: {error}") from error


def response_from_wire(data: bytes) -> InferResponse:
    """Read a serialised ModelInferResponse; the arrays are views of `data` where they can be.

    Raises
    ------
    ModelFailed
        If the bytes are no such message, or sizes, shapes and datatypes do not agree.
    """
    try:
        header, raw = split_raw(data, _RAW_OUTPUTS)
        message = _parse(pb.ModelInferResponse, header)
        arrays, dtypes = _tensors("output", message.outputs, raw)
    except InvalidRequest as error:
        raise ModelFailed(f"the server sent a response that cannot be read: {error}") from error
    return InferResponse(
        model=message.model_name,
        version=message.model_version,
        outputs=arrays,
        id=message.id,
        parameters=_read_parameters(message.parameters),
        dtypes=dtypes,
    )


def stream_to_wire(answer: InferResponse | BaseException) -> bytes:
    """Serialise a ModelStreamInferResponse, which holds a response or the text of an error."""
    if isinstance(answer, BaseException):
        return pb.ModelStreamInferResponse(error_message=str(answer)).SerializeToString()
    return join_raw(b"", [response_to_wire(answer)], 2)


def stream_from_wire(data: bytes) -> InferResponse:
    """Read a serialised ModelStreamInferResponse.

    Raises
    ------
    ModelFailed
        If the message holds an error, or cannot be read.
    """
    try:
        header, responses = split_raw(data, 2)
        error = _parse(pb.ModelStreamInferResponse, header).error_message
    except InvalidRequest as unreadable:
        raise ModelFailed(f"the server sent a response that cannot be read: {unreadable}") from unreadable
    if error or not responses:
        raise ModelFailed(error or "the server sent neither a response nor an error")
    return response_from_wire(bytes(responses[-1]))


# ---- everything else ------------------------------------------------------------------------------------------------


def server_info_to_wire(info: ServerInfo) -> pb.ServerMetadataResponse:
    """Write what a server says of itself."""
    return pb.ServerMetadataResponse(name=info.name, version=info.version, extensions=info.extensions)


def server_info_from_wire(message: pb.ServerMetadataResponse) -> ServerInfo:
    """Read what a server says of itself."""
    return ServerInfo(message.name, message.version, tuple(message.extensions))


def spec_to_wire(spec: ModelSpec, versions: Sequence[str] = ()) -> pb.ModelMetadataResponse:
    """Write a model's metadata, with every version that is served."""
    message = pb.ModelMetadataResponse(
        name=spec.name, versions=list(versions) or [spec.version], platform=spec.platform
    )
    for target, tensors_ in ((message.inputs, spec.inputs), (message.outputs, spec.outputs)):
        for tensor in tensors_:
            target.add(name=tensor.name, datatype=tensor.dtype.name, shape=tensor.shape)
    return message


def spec_from_wire(
    metadata: pb.ModelMetadataResponse, config: model_config_pb2.ModelConfig, version: str = ""
) -> ModelSpec:
    """Read a model's metadata; the configuration adds the largest batch and which inputs are optional.

    Raises
    ------
    InvalidRequest
        If a datatype is not of the protocol.
    """
    inputs, outputs = (
        [TensorSpec(t.name, DType.from_wire(t.datatype), tuple(t.shape)) for t in half]
        for half in (metadata.inputs, metadata.outputs)
    )
    return spec_from_parts(metadata.name, version, list(metadata.versions), metadata.platform, inputs, outputs, config)


def statistics_to_wire(rows: Iterable[ModelStatistics]) -> pb.ModelStatisticsResponse:
    """Write the counters of models."""
    message = pb.ModelStatisticsResponse()
    for row in rows:
        target = message.model_stats.add(
            name=row.name,
            version=row.version,
            last_inference=row.last_inference_ms,
            inference_count=row.inference_count,
            execution_count=row.execution_count,
        )
        for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
            duration: Duration = getattr(row, name)
            part = getattr(target.inference_stats, name)
            part.count, part.ns = duration.count, duration.total_ns
    return message


def statistics_from_wire(message: pb.ModelStatisticsResponse) -> tuple[ModelStatistics, ...]:
    """Read the counters of models."""

    def duration(part: pb.StatisticDuration) -> Duration:
        return Duration(part.count, part.ns)

    return tuple(
        ModelStatistics(
            name=row.name,
            version=row.version,
            inference_count=row.inference_count,
            execution_count=row.execution_count,
            success=duration(row.inference_stats.success),
            fail=duration(row.inference_stats.fail),
            queue=duration(row.inference_stats.queue),
            compute_input=duration(row.inference_stats.compute_input),
            compute_infer=duration(row.inference_stats.compute_infer),
            compute_output=duration(row.inference_stats.compute_output),
            last_inference_ms=row.last_inference,
        )
        for row in message.model_stats
    )


def index_to_wire(rows: Iterable[ModelStatus]) -> pb.RepositoryIndexResponse:
    """Write the repository index."""
    message = pb.RepositoryIndexResponse()
    for row in rows:
        message.models.add(name=row.name, version=row.version, state=row.state, reason=row.reason)
    return message


def index_from_wire(message: pb.RepositoryIndexResponse) -> tuple[ModelStatus, ...]:
    """Read the repository index."""
    return tuple(ModelStatus(row.name, row.version, row.state, row.reason) for row in message.models)


# ---- parts ----------------------------------------------------------------------------------------------------------


def _describe(target: Any, name: str, array: np.ndarray, dtype: DType) -> Buffer:
    target.add(name=name, datatype=dtype.name, shape=array.shape)
    return tensors.to_wire(array, dtype)


def _tensors(
    what: str, described: Iterable[Any], raw: list[memoryview]
) -> tuple[dict[str, np.ndarray], dict[str, DType]]:
    described = list(described)
    if raw and len(raw) != len(described):
        raise InvalidRequest(f"{len(described)} {what}s need as many raw contents, given {len(raw)}")
    arrays: dict[str, np.ndarray] = {}
    dtypes: dict[str, DType] = {}
    for position, tensor in enumerate(described):
        name = tensor.name
        try:
            if name in arrays:
                raise InvalidRequest("given twice")
            if "shared_memory_region" in tensor.parameters:
                raise Unsupported("shared memory is not offered")
            dtype = DType.from_wire(tensor.datatype)
            if not raw:
                arrays[name] = _typed(tensor, dtype)
            elif tensor.HasField("contents"):
                raise InvalidRequest("has both contents and raw contents")
            else:
                arrays[name] = tensors.from_wire(raw[position], dtype, tensor.shape)
        except (InvalidRequest, Unsupported) as error:
            raise type(error)(f"{what} {name!r}: {error}") from None
        if dtype is DType.BF16:
            dtypes[name] = dtype
    return arrays, dtypes


def _typed(tensor: Any, dtype: DType) -> np.ndarray:
    kind = _CONTENTS.get(dtype)
    if kind is None:
        raise InvalidRequest(f"{dtype.name} travels as raw contents alone")
    for field, _ in tensor.contents.ListFields():
        if field.name != kind:
            raise InvalidRequest(f"{dtype.name} travels in {kind}, given {field.name}")
    return tensors.from_values(getattr(tensor.contents, kind), dtype, tensor.shape)


def _write_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**64:
                raise InvalidRequest(f"parameter {name} is at most 64 bits, given {value}")
            if value < 2**63:
                target[name].int64_param = value
            else:
                target[name].uint64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        elif isinstance(value, str):
            target[name].string_param = value
        else:
            raise InvalidRequest(f"parameter {name} is a bool, int, float or str, given {type(value).__name__}")


def _read_parameters(source: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, value in source.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is not None:
            parameters[name] = getattr(value, kind)
    return parameters


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"not a {kind.DESCRIPTOR.name}: {error}") from None
