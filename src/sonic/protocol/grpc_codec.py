"""Requests and responses <-> protobuf, for both ends of a gRPC connection.

ModelInfer and ModelStreamInfer are read and written as bytes, past protobuf's own handling of the raw tensors: an
array is copied once when a message is written and, if it is aligned there, not at all when one is read (protobuf
alone copies it three times and twice). Both ends therefore call grpc without a serialiser for these two. What else
there is to say is small, and in :mod:`sonic.protocol.records`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from msgspec.structs import replace

from sonic.errors import InvalidRequest, ModelFailed, Unsupported, shown
from sonic.protocol import tensors
from sonic.protocol.form import CLASSES, PLAIN, FormReader, span_of, view_of
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.parameters import check_parameters, pop_timeout_s, put_timeout_s
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.rawfields import join_raw, raw_parts, split_raw
from sonic.protocol.tensorlist import read_each
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from sonic.protocol.form import Form, Placement, Regions, Span
    from sonic.protocol.messages import Parameter
    from sonic.protocol.tensors import Buffer

RAW_INPUTS, RAW_OUTPUTS = 7, 6
"""Numbers of the fields that hold raw tensors."""

FINAL = "triton_final_response"
"""Parameter of a response in a stream: whether its request has no further one."""

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
_MEANT = {field: dtype.name for dtype, field in _CONTENTS.items()}
"""What Triton calls the fields; the last of several datatypes is the widest."""
_RAW_TOO = "contents field must not be specified when using raw_input_contents for {of}"
_NO_DATA = "unable to find data for {what} tensor {of} in request"
_SHARED_TOO = "unexpected 'content' provided when using shared memory for {what} tensor {of}"


# ---- inference ------------------------------------------------------------------------------------------------------


def request_to_wire(request: InferRequest, placement: Placement | None = None) -> bytes:
    """Serialise a ModelInferRequest; of tensors that have a place in shared memory, the place.

    Raises
    ------
    InvalidRequest
        If an array has no datatype of the protocol, or the whole exceeds what protobuf can hold.
    """
    message = pb.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.id)
    _write_parameters(message.parameters, put_timeout_s(request.parameters, request.timeout_s))
    raw: list[Buffer] = []
    for name, array in request.inputs.items():
        if placement is not None and name in placement.inputs:
            described = message.inputs.add(name=name, datatype=request.dtype(name).name, shape=array.shape)
            _write_parameters(described.parameters, placement.inputs[name].parameters())
        else:
            raw.append(_describe(message.inputs, name, array, request.dtype(name)))
    for name in request.outputs:
        output = message.outputs.add(name=name)
        if name in request.classes:
            output.parameters[CLASSES].int64_param = request.classes[name]
        elif placement is not None and name in placement.outputs:
            _write_parameters(output.parameters, placement.outputs[name].parameters())
    return join_raw(message.SerializeToString(), raw, RAW_INPUTS)


def request_from_wire(data: Buffer, regions: Regions | None = None) -> tuple[InferRequest, Form]:
    """Read a serialised ModelInferRequest.

    Parameters
    ----------
    data : bytes-like
        The arrays are views of it where they can be.
    regions : Regions or None
        Shared memory that the sender may name; its inputs are views of it where they can be.

    Returns
    -------
    request : InferRequest
    form : Form
        How the response wants to be written.

    Raises
    ------
    InvalidRequest
        If the bytes are no such message, or sizes, shapes and datatypes do not agree.
    Unsupported
        If a tensor is in shared memory, and the sender may use none.
    """
    header, raw = split_raw(data, RAW_INPUTS)
    message = parse(pb.ModelInferRequest, header)
    arrays, dtypes = _tensors("input", message.model_name, message.inputs, raw, regions)
    reader: FormReader | None = None
    for output in message.outputs:
        if output.parameters:
            reader = reader or FormReader(regions)
            reader.read(output.name, _read_parameters(output.parameters))
    parameters = _read_parameters(message.parameters)
    if len(parameters) != len(message.parameters):
        missing = next(name for name in message.parameters if name not in parameters)
        raise InvalidRequest(f"parameter {shown(missing)} has no value")
    check_parameters(parameters, signed=True)
    request = InferRequest(
        model=message.model_name,
        inputs=arrays,
        version=message.model_version,
        id=message.id,
        outputs=tuple(output.name for output in message.outputs),
        timeout_s=pop_timeout_s(parameters),
        parameters=parameters,
        dtypes=dtypes,
        classes=reader.classes if reader else {},
    )
    return request, reader.form() if reader else PLAIN


def response_to_wire(response: InferResponse, form: Form = PLAIN) -> bytes:
    """Serialise a ModelInferResponse: as :func:`response_parts`, each copied once."""
    return b"".join(response_parts(response, form))


def response_parts(response: InferResponse, form: Form = PLAIN) -> list[Buffer]:
    """Serialise a ModelInferResponse, and put into shared memory the outputs that are wanted there.

    Returns
    -------
    list of bytes-like
        The message, in parts that share the memory of the arrays where they can.

    Raises
    ------
    InvalidRequest
        If an output's place in shared memory is too small.
    ModelFailed
        If an output has no datatype of the protocol, or the whole exceeds what protobuf can hold.
    """
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    try:
        _write_parameters(message.parameters, response.parameters)
        raw = [
            _describe(message.outputs, name, array, response.dtype(name)) for name, array in response.outputs.items()
        ]
    except InvalidRequest as error:  # what is wrong here is not the request
        raise _unsendable(response, error) from error
    for position, output in enumerate(message.outputs if form.places else ()):
        where = form.put(output.name, raw[position])
        if where is not None:
            _write_parameters(output.parameters, where)
            raw[position] = b""
    try:
        return raw_parts(message.SerializeToString(), raw, RAW_OUTPUTS)
    except InvalidRequest as error:
        raise _unsendable(response, error) from error


def response_from_wire(data: bytes, regions: Regions | None = None) -> InferResponse:
    """Read a serialised ModelInferResponse; the arrays are views of `data`, or of `regions`, where they can be.

    Raises
    ------
    ModelFailed
        If the bytes are no such message, or sizes, shapes and datatypes do not agree.
    """
    try:
        header, raw = split_raw(data, RAW_OUTPUTS)
        message = parse(pb.ModelInferResponse, header)
        arrays, dtypes = _tensors("output", message.model_name, message.outputs, raw, regions)
    except (InvalidRequest, Unsupported) as error:
        raise ModelFailed(f"the server sent a response that cannot be read: {error}") from error
    return InferResponse(
        model=message.model_name,
        version=message.model_version,
        outputs=arrays,
        id=message.id,
        parameters=_read_parameters(message.parameters),
        dtypes=dtypes,
    )


def stream_to_wire(
    answer: InferResponse | BaseException,
    form: Form = PLAIN,
    id: str = "",  # noqa: A002
    model: str = "",
) -> bytes:
    """Serialise a ModelStreamInferResponse: a response, or the text of an error with `id` and `model` of its request.

    By one of its parameters a client tells the last response of a request, of which there is but one.
    """
    if isinstance(answer, BaseException):
        message = pb.ModelStreamInferResponse(error_message=str(answer))
        message.infer_response.id = id
        message.infer_response.model_name = model
        message.infer_response.parameters[FINAL].bool_param = True
        return message.SerializeToString()
    answer = replace(answer, parameters={**answer.parameters, FINAL: True})
    return join_raw(b"", [response_to_wire(answer, form)], 2)


def id_from_wire(data: Buffer) -> str:
    """Id of a serialised ModelInferRequest that may otherwise make no sense; empty if it cannot be read."""
    try:
        message: pb.ModelInferRequest = parse(pb.ModelInferRequest, split_raw(data, RAW_INPUTS)[0])
    except InvalidRequest:
        return ""
    return message.id


def stream_from_wire(data: bytes) -> InferResponse:
    """Read a serialised ModelStreamInferResponse.

    Raises
    ------
    ModelFailed
        If the message holds an error, or cannot be read.
    """
    try:
        header, responses = split_raw(data, 2)
        error = parse(pb.ModelStreamInferResponse, header).error_message
    except InvalidRequest as unreadable:
        raise ModelFailed(f"the server sent a response that cannot be read: {unreadable}") from unreadable
    if error or not responses:
        raise ModelFailed(error or "the server sent neither a response nor an error")
    return response_from_wire(bytes(responses[-1]))


def parse(kind: Any, data: Buffer) -> Any:
    """Read a message of protobuf.

    Parameters
    ----------
    kind : type
        Of the message.
    data : bytes-like

    Raises
    ------
    InvalidRequest
        If the bytes are none.
    """
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise InvalidRequest(f"not a {kind.DESCRIPTOR.name}: {error}") from None


# ---- parts ----------------------------------------------------------------------------------------------------------


def _describe(target: Any, name: str, array: np.ndarray, dtype: DType) -> Buffer:
    target.add(name=name, datatype=dtype.name, shape=array.shape)
    return tensors.to_wire(array, dtype)


def _tensors(
    what: str, model: str, described: Iterable[Any], raw: list[memoryview], regions: Regions | None
) -> tuple[dict[str, np.ndarray], dict[str, DType]]:
    described = list(described)
    spans = [_span(what, model, tensor) if tensor.parameters else None for tensor in described]
    expected = spans.count(None)
    # In a response, and from some clients, a tensor in shared memory has raw contents too, which are empty.
    holes = len(raw) == len(described) > expected
    if raw and len(raw) != expected and not holes:
        unshared = [tensor for tensor, span in zip(described, spans, strict=True) if span is None]
        raise _other_number(what, model, unshared, raw)
    contents, places = iter(raw), iter(spans)

    def read(tensor: Any, dtype: DType) -> np.ndarray:
        span = next(places)
        content = next(contents) if raw and (span is None or holes) else None
        # Some servers write empty ones beside those that are raw.
        if (content is not None or span is not None) and tensor.contents.ByteSize():
            raise tensors.Misfit(_RAW_TOO if span is None else _SHARED_TOO, dtype, tensor.shape)
        if span is not None:
            if content:
                raise InvalidRequest("has both raw contents and shared memory")
            return tensors.from_shared(view_of(span, regions), dtype, tensor.shape)
        return _typed(tensor, dtype) if content is None else tensors.from_wire(content, dtype, tensor.shape)

    return read_each(what, model, described, read)


def _other_number(what: str, model: str, described: list[Any], raw: list[memoryview]) -> InvalidRequest:
    expected = f"{len(described)} {what}s for model {model!r} need as many raw contents, given {len(raw)}"
    if typed := [tensor for tensor in described if tensor.contents.ByteSize()]:
        text, tensor = _RAW_TOO, typed[0]
    elif len(raw) < len(described):
        text, tensor = _NO_DATA, described[len(raw)]
    else:
        return InvalidRequest(expected)
    return InvalidRequest(f"{text.format(what=what, of=f'{tensor.name!r} for model {model!r}')}: {expected}")


def _span(what: str, model: str, tensor: Any) -> Span | None:
    try:
        return span_of(_read_parameters(tensor.parameters))
    except InvalidRequest as error:
        raise InvalidRequest(f"{what} {tensor.name!r} for model {model!r}: {error}") from None


def _unsendable(response: InferResponse, error: InvalidRequest) -> ModelFailed:
    return ModelFailed(f"model {response.model!r} gave a response that cannot be sent: {error}")


def _typed(tensor: Any, dtype: DType) -> np.ndarray:
    kind = _CONTENTS.get(dtype)
    for field, _ in tensor.contents.ListFields():
        if field.name != kind:
            types = f"of type {_MEANT[field.name]!r}, expected datatype {dtype.name!r}"
            text = f"unexpected explicit tensor data for {{what}} tensor {{of}} {types}"
            raise tensors.Misfit(text, dtype, tensor.shape)
    values = getattr(tensor.contents, kind) if kind is not None else ()
    if not values and 0 not in tensor.shape:
        raise tensors.Misfit(_NO_DATA, dtype, tensor.shape)
    tensors.check_count(len(values), dtype, tensor.shape)
    return tensors.from_values(values, dtype, tensor.shape)


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
