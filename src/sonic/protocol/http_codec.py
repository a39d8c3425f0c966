"""Messages <-> HTTP bodies, for both ends of a connection: JSON, and tensors as JSON or as a binary tail.

A body with a binary tail is the JSON and then the tensors' bytes; the header ``Inference-Header-Content-Length``
says how long the JSON is. A number that is not finite is written as Python's json does (``NaN``, ``Infinity``),
which strict JSON has no word for: send such tensors as binary.
Specification: the HTTP part of the Open Inference Protocol v2, and its binary tensor data extension.
"""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sonic.errors import InvalidRequest, ModelFailed, Unsupported, shown
from sonic.protocol import tensors
from sonic.protocol.documents import decode_as, encode
from sonic.protocol.form import ALL_BINARY, BINARY, CLASSES, PLAIN, REGION, FormReader, flag, span_of, view_of
from sonic.protocol.messages import InferRequest, InferResponse, Parameter  # noqa: TC001 - msgspec reads it
from sonic.protocol.parameters import check_parameters, pop_timeout_s, put_timeout_s
from sonic.protocol.tensorlist import read_each
from sonic.specs import DType

if TYPE_CHECKING:
    from sonic.protocol.form import Form, Placement, Regions
    from sonic.protocol.tensors import Buffer
    from sonic.specs import ModelSpec

_PIECE_VALUES = 1 << 13
HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header that gives the length of the JSON in a body with a binary tail, in bytes."""


class _Tensor(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    # Here and below: some clients and servers write null for what they do not say.
    parameters: dict[str, Parameter] | None = {}
    data: list[Any] | None = None


class _WrittenTensor(_Tensor, omit_defaults=True):
    data: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]  # an array of JSON


class _Wanted(msgspec.Struct, omit_defaults=True):
    name: str
    parameters: dict[str, Parameter] | None = {}


class _Request(msgspec.Struct, omit_defaults=True):
    inputs: list[_Tensor]
    id: str = ""
    parameters: dict[str, Parameter] = {}
    outputs: list[_Wanted] = []


class _Response(msgspec.Struct, omit_defaults=True):
    model_name: str = ""
    model_version: str | None = ""
    id: str | None = ""
    parameters: dict[str, Parameter] | None = {}
    outputs: list[_Tensor] = []


def request_to_wire(request: InferRequest, placement: Placement | None = None) -> tuple[bytes, int]:
    """Write the body of an infer request; every tensor is binary, both ways, or has its place in shared memory.

    Returns
    -------
    body : bytes
    header_length : int
        Bytes of its JSON, for the header :data:`HEADER_LENGTH`.

    Raises
    ------
    InvalidRequest
        If an array has no datatype of the protocol.
    """
    tail: list[Buffer] = []
    document = _Request(
        inputs=[
            _Tensor(name, request.dtype(name).name, list(array.shape), placement.inputs[name].parameters())
            if placement is not None and name in placement.inputs
            else _write(name, array, request.dtype(name), tail)
            for name, array in request.inputs.items()
        ],
        id=request.id,
        parameters=put_timeout_s(request.parameters, request.timeout_s),
        outputs=[_Wanted(name, _wanted(name, request, placement)) for name in request.outputs],
    )
    if not request.outputs:
        document.parameters["binary_data_output"] = True
    head = encode(document)
    return b"".join([head, *tail]), len(head)


def request_from_wire(
    body: Buffer, header_length: int | None, model: str, version: str = "", regions: Regions | None = None
) -> tuple[InferRequest, Form]:
    """Read the body of an infer request.

    Parameters
    ----------
    body : bytes-like
        Binary tensors are views of it where they can be.
    header_length : int or None
        The header :data:`HEADER_LENGTH`; None if there is none and the whole body is JSON.
    model, version : str
        From the path.
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
        If the body is no such request, or sizes, shapes and datatypes do not agree.
    Unsupported
        If a tensor is in shared memory, and the sender may use none.
    """
    head, tail = _part(body, header_length)
    document = decode_as(head, _Request, "an infer request")
    arrays, dtypes = _read("input", model, document.inputs, tail, regions)
    parameters = document.parameters
    binary = flag(parameters, "binary_data_output") if parameters else False
    parameters.pop("binary_data_output", None)
    check_parameters(parameters)
    timeout_s = pop_timeout_s(parameters) if parameters else None
    if not document.outputs:
        request = InferRequest(model, arrays, version, document.id, (), parameters, timeout_s, dtypes)
        return request, ALL_BINARY if binary else PLAIN
    reader = FormReader(regions)
    for output in document.outputs:
        reader.read(output.name, output.parameters or {})
    wanted = tuple([output.name for output in document.outputs])
    request = InferRequest(model, arrays, version, document.id, wanted, parameters, timeout_s, dtypes, reader.classes)
    return request, reader.form(binary=binary)


def raw_request_from_wire(body: Buffer, spec: ModelSpec, version: str = "") -> tuple[InferRequest, Form]:
    """Read the body of an infer request that is the bytes of its one input alone: :data:`HEADER_LENGTH` is 0.

    Parameters
    ----------
    body : bytes-like
        Numbers as in a binary tail, one row where the model has a batch dimension; or one element of ``BYTES``,
        without its length before it.
    spec : ModelSpec
        Says what they are, and their shape, of which the size of one dimension may follow from how many there are.
    version : str
        From the path.

    Returns
    -------
    request : InferRequest
    form : Form
        All binary.

    Raises
    ------
    InvalidRequest
        If the model has other inputs than one, its shape leaves more open, its size is 0 whatever is open, or the
        body's size is not a multiple of the rest.
    """
    # Each in the words by which clients written for Triton know it.
    if len(spec.inputs) != 1:
        raise InvalidRequest(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs in "
            f"{spec.name!r} model configuration"
        )
    (tensor,) = spec.inputs
    shape = [1, *tensor.shape[1:]] if spec.max_batch_size else [*tensor.shape]
    variable = shape.count(-1)
    fixed = prod(size for size in shape if size != -1)
    what = f"raw input {tensor.name!r}"
    if tensor.dtype is DType.BYTES:
        if variable or fixed != 1:
            raise InvalidRequest(
                f"For BYTE datatype {what}, the model must have input shape [1]: {spec.name!r} has {list(tensor.shape)}"
            )
        array = tensors.from_values([bytes(body)], tensor.dtype, shape)
    else:
        if variable > 1:
            raise InvalidRequest(
                f"The shape of the {what} can not be deduced because there are more than one variable-sized "
                f"dimension: model {spec.name!r} has {list(tensor.shape)}"
            )
        if variable and not fixed:
            raise InvalidRequest(
                f"The shape of the {what} can not be deduced because a dimension of size 0 leaves no bytes: "
                f"model {spec.name!r} has {list(tensor.shape)}"
            )
        if variable:
            shape[shape.index(-1)] = len(body) // ((tensor.dtype.wire_size or 1) * fixed)
        try:
            array = tensors.from_wire(body, tensor.dtype, shape)
        except tensors.Misfit as error:
            raise error.of("input", tensor.name, spec.name) from None
    dtypes = {tensor.name: tensor.dtype} if tensor.dtype is DType.BF16 else {}
    return InferRequest(spec.name, {tensor.name: array}, version, dtypes=dtypes), ALL_BINARY


def response_to_wire(response: InferResponse, form: Form) -> tuple[list[Buffer], int | None]:
    """Write the body of an infer response, and put into shared memory the outputs that are wanted there.

    Returns
    -------
    parts : list of bytes-like
        The body, in pieces: its JSON, and then tensors, which share the arrays' memory where they can.
    header_length : int or None
        Bytes of its JSON if a binary tail follows, for the header :data:`HEADER_LENGTH`.

    Raises
    ------
    ModelFailed
        If an output has no datatype of the protocol.
    InvalidRequest
        If JSON was asked for an output that JSON cannot hold, or an output's place in shared memory is too small.
    """
    tail: list[Buffer] = []
    outputs: list[_Tensor] = []
    for name, array in response.outputs.items():
        try:
            dtype = response.dtype(name)
        except InvalidRequest as error:
            raise ModelFailed(f"model {response.model!r} gave output {name!r} that cannot be sent: {error}") from error
        if name in form.places:
            form.put(name, tensors.to_wire(array, dtype))
            # Without parameters, as Triton writes it: its C++ client reads any as those of binary data.
            outputs.append(_Tensor(name, dtype.name, list(array.shape)))
        elif form.is_binary(name):
            outputs.append(_write(name, array, dtype, tail))
        else:
            _refuse_halves(dtype, f"output {name!r}: sending", "output")
            outputs.append(_WrittenTensor(name, dtype.name, list(array.shape), data=_write_values(array, dtype)))
    document = _Response(response.model, response.version, response.id, dict(response.parameters), outputs)
    head = encode(document)
    return [head, *tail], len(head) if tail else None


def response_from_wire(body: bytes, header_length: int | None, placement: Placement | None = None) -> InferResponse:
    """Read the body of an infer response; tensors are views of it where they can be.

    An output that has neither data nor a size is where `placement` has it.

    Raises
    ------
    ModelFailed
        If the body is no such response, or sizes, shapes and datatypes do not agree.
    """
    try:
        head, tail = _part(body, header_length)
        document = decode_as(head, _Response, "an infer response")
        if placement is not None:
            _put_places(document.outputs, placement)
        regions = None if placement is None else placement.regions
        arrays, dtypes = _read("output", document.model_name, document.outputs, tail, regions)
    except (InvalidRequest, Unsupported) as error:
        raise ModelFailed(f"the server sent a response that cannot be read: {error}") from error
    return InferResponse(
        model=document.model_name,
        version=document.model_version or "",
        outputs=arrays,
        id=document.id or "",
        parameters=document.parameters or {},
        dtypes=dtypes,
    )


# ---- parts ----------------------------------------------------------------------------------------------------------


def _write(name: str, array: np.ndarray, dtype: DType, tail: list[Buffer]) -> _Tensor:
    content = tensors.to_wire(array, dtype)
    tail.append(content)
    return _Tensor(name, dtype.name, list(array.shape), {"binary_data_size": memoryview(content).nbytes})


def _write_values(array: np.ndarray, dtype: DType) -> msgspec.Raw:
    # In pieces: whoever writes JSON holds Python's lock to the end, and makes an object of each number.
    flat = array.reshape(-1)
    pieces = [flat[start : start + _PIECE_VALUES] for start in range(0, flat.size, _PIECE_VALUES)]
    return msgspec.Raw(b"[%b]" % b",".join([_write_piece(piece, dtype) for piece in pieces]))


def _write_piece(flat: np.ndarray, dtype: DType) -> bytes:
    values = tensors.to_values(flat, dtype)
    finite = flat.dtype.kind != "f" or bool(np.isfinite(flat).all())
    return (encode(values) if finite else json.dumps(values).encode())[1:-1]


def _wanted(name: str, request: InferRequest, placement: Placement | None) -> dict[str, Parameter]:
    if name in request.classes:
        return {BINARY: True, CLASSES: request.classes[name]}
    if placement is not None and name in placement.outputs:
        return placement.outputs[name].parameters()
    return {BINARY: True}


def _put_places(outputs: list[_Tensor], placement: Placement) -> None:
    # Over HTTP, a response does not say of an output that it is in shared memory.
    for output in outputs:
        span = placement.outputs.get(output.name)
        if span is not None and output.data is None and not output.parameters:
            output.parameters = span.parameters(tensors.byte_size(DType.from_wire(output.datatype), output.shape))


def _read(
    what: str, model: str, listed: list[_Tensor], tail: memoryview, regions: Regions | None
) -> tuple[dict[str, np.ndarray], dict[str, DType]]:
    position = 0

    def read(tensor: _Tensor, dtype: DType) -> np.ndarray:
        nonlocal position
        parameters = tensor.parameters or {}
        span = span_of(parameters)
        size = parameters.get("binary_data_size")
        if span is not None:
            if tensor.data is not None or size is not None:
                raise _not_one(what, tensor)
            return tensors.from_shared(view_of(span, regions), dtype, tensor.shape)
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise InvalidRequest(f"binary_data_size is a number of bytes, given {shown(size)}")
            if (more := position + size - len(tail)) > 0:
                expected = f"expecting {shown(more)} additional bytes for model {model!r}"
                raise InvalidRequest(f"unexpected size for {what} {tensor.name!r}, {expected}")
            if tensor.data is not None:
                raise _not_one(what, tensor)
            position += size
            return tensors.from_wire(tail[position - size : position], dtype, tensor.shape)
        if tensor.data is None:
            raise _not_one(what, tensor)
        _refuse_halves(dtype, "receiving", what)
        return tensors.from_values(tensor.data, dtype, tensor.shape)

    arrays, dtypes = read_each(what, model, listed, read)
    if position != len(tail):
        left = f"{len(tail) - position} bytes of the binary tail belong to none"
        raise InvalidRequest(f"unexpected additional {what} data for model {model!r}: {left}")
    return arrays, dtypes


def _not_one(what: str, tensor: _Tensor) -> InvalidRequest:
    """Say that a tensor has its contents nowhere, or in several places, as clients written for Triton know it."""
    given = ["'data'"] if tensor.data is not None else []
    given += [repr(field) for field in ("binary_data_size", REGION) if field in (tensor.parameters or {})]
    fields = f"'data', 'binary_data_size' in 'parameters', {REGION!r} in 'parameters'"
    but = f"set {' '.join(given)}" if given else "no field is set"
    return InvalidRequest(f"{what.capitalize()} must set only one of the following fields: {fields}. But {but}")


def _part(body: Buffer, header_length: int | None) -> tuple[memoryview, memoryview]:
    view = memoryview(body)
    if header_length is None:
        return view, view[:0]
    if not 0 <= header_length <= len(view):
        expected = f"inference header size should be in range (0, {len(view)}), got: {header_length}"
        raise InvalidRequest(f"{expected}: {HEADER_LENGTH}")
    return view[:header_length], view[header_length:]


def _refuse_halves(dtype: DType, doing: str, what: str) -> None:
    if dtype in (DType.FP16, DType.BF16):
        text = f"{doing} {dtype.name} data via JSON is not supported. Please use the binary data format for {what}"
        raise InvalidRequest(text)
