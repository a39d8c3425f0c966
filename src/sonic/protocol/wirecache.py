"""Requests and responses <-> protobuf, for both ends, where one looks like the last: what repeats is worked out once.

A client calls a model again and again with tensors of the same names, datatypes and shapes. The bytes around the
contents are the same then, and so is what they mean. A message is remembered when one like it comes for the second
time; until then, and if it is out of the ordinary, :mod:`sonic.protocol.grpc_codec` writes and reads it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from msgspec.structs import replace

from sonic.errors import InvalidRequest
from sonic.protocol import grpc_codec
from sonic.protocol.form import PLAIN
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.parameters import TIMEOUT, timeout_us
from sonic.protocol.rawfields import spans, split_raw, varint
from sonic.protocol.repeats import LENGTHY_BYTES, LONGEST_BYTES, PLAIN_DTYPES, arrays_in, contents, form_of, remember

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.protocol.form import Form, Placement, Regions
    from sonic.protocol.repeats import Content
    from sonic.protocol.tensors import Buffer

M = TypeVar("M", bound=InferRequest | InferResponse)

_LARGEST_BYTES = 1 << 30
"""The form of a larger message is not remembered: each has to be checked against protobuf's limit."""

_HEAD_BYTES = 48
"""A message is looked up by its length and its first so many bytes; then all around its contents is compared."""

_LONGEST_S = 1e9
"""Longer timeouts are left to grpc_codec: they may be more than the wire can say."""

_TIMEOUT_KEY = b"\x0a" + bytes([len(TIMEOUT)]) + TIMEOUT.encode()


class RequestWriter:
    """Serialises ModelInferRequests as :func:`~sonic.protocol.grpc_codec.request_to_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[bytes, ...] | None] = {}

    def __call__(self, request: InferRequest, placement: Placement | None = None) -> bytes:
        """Serialise a request; of tensors that have a place in shared memory, the place.

        Raises
        ------
        InvalidRequest
            If an array has no datatype of the protocol, or the whole exceeds what protobuf can hold.
        """
        inputs = request.inputs
        timeout_s = request.timeout_s
        odd = request.parameters or request.dtypes or request.classes or request.id or not inputs
        if odd or placement is not None or (timeout_s is not None and timeout_s > _LONGEST_S):
            return grpc_codec.request_to_wire(request, placement)
        arrays = [*inputs.values()]
        key = (request.model, request.version, request.outputs, *form_of(inputs))
        around = self._known.get(key)
        if around is None:
            return self._first(request, key)
        parts: list[Any] = []
        for before, array in zip(around, arrays, strict=True):
            parts.append(before)
            parts.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
        if timeout_s is not None:
            parts.append(_timeout(timeout_s))
        return b"".join(parts)

    def _first(self, request: InferRequest, key: tuple[object, ...]) -> bytes:
        whole = grpc_codec.request_to_wire(request)
        if key not in self._known:
            remember(self._known, key, None)
        elif len(whole) < _LARGEST_BYTES and all(array.dtype in PLAIN_DTYPES for array in request.inputs.values()):
            plain = whole if request.timeout_s is None else grpc_codec.request_to_wire(replace(request, timeout_s=None))
            self._known[key] = tuple(_around(plain, grpc_codec.RAW_INPUTS)[:-1])
        return whole


class ResponseWriter:
    """Serialises ModelInferResponses as :func:`~sonic.protocol.grpc_codec.response_parts` does. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[bytes, ...] | None] = {}

    def __call__(self, response: InferResponse, form: Form = PLAIN) -> list[Buffer]:
        """Serialise a response, in parts that share the memory of the arrays where they can.

        Raises
        ------
        InvalidRequest
            If an output's place in shared memory is too small.
        ModelFailed
            If an output has no datatype of the protocol, or the whole exceeds what protobuf can hold.
        """
        outputs = response.outputs
        if form is not PLAIN or response.parameters or response.dtypes or response.id or not outputs:
            return grpc_codec.response_parts(response, form)
        key = (response.model, response.version, *form_of(outputs))
        around = self._known.get(key)
        if around is None:
            return self._first(response, key)
        return [*chain.from_iterable(zip(around, contents(outputs.values()), strict=True))]

    def _first(self, response: InferResponse, key: tuple[object, ...]) -> list[Buffer]:
        parts = grpc_codec.response_parts(response)
        if key not in self._known:
            remember(self._known, key, None)
        elif all(array.dtype in PLAIN_DTYPES for array in response.outputs.values()):
            head, *rest = parts  # then of each content what is before it, and itself
            before = [bytes(part) for part in rest[::2]]
            self._known[key] = (bytes(head) + before[0], *before[1:])
        return parts


class ResponseReader:
    """Reads ModelInferResponses as :func:`~sonic.protocol.grpc_codec.response_from_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._layouts: _Layouts[InferResponse] = _Layouts("outputs", grpc_codec.RAW_OUTPUTS)

    def __call__(self, data: bytes, regions: Regions | None = None) -> InferResponse:
        """Read a response; the arrays are views of `data`, or of `regions`, where they can be.

        Raises
        ------
        ModelFailed
            If the bytes are no such message, or sizes, shapes and datatypes do not agree.
        """
        if regions is not None:
            return grpc_codec.response_from_wire(data, regions)
        if (known := self._layouts.read(data)) is None:
            response = grpc_codec.response_from_wire(data)
            self._layouts.learn(data, response, plain=not response.dtypes)
            return response
        like, outputs = known
        return InferResponse(like.model, like.version, outputs, like.id, dict(like.parameters))


class RequestReader:
    """Reads ModelInferRequests as :func:`~sonic.protocol.grpc_codec.request_from_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._layouts: _Layouts[InferRequest] = _Layouts("inputs", grpc_codec.RAW_INPUTS)

    def __call__(self, data: Buffer, regions: Regions | None = None) -> tuple[InferRequest, Form]:
        """Read a request, and how its response wants to be written.

        Raises
        ------
        InvalidRequest, Unsupported
            As there.
        """
        if (known := self._layouts.read(data)) is None:
            request, form = grpc_codec.request_from_wire(data, regions)
            self._layouts.learn(data, request, plain=form is PLAIN and not request.dtypes and not request.classes)
            return request, form
        like, inputs = known
        parameters = dict(like.parameters)
        return InferRequest(like.model, inputs, like.version, like.id, like.outputs, parameters, like.timeout_s), PLAIN

    def lengthy(self, data: Buffer) -> bool:
        """Whether a message has so many numbers or texts to go through that reading it takes milliseconds."""
        if len(data) < LENGTHY_BYTES or self._layouts.knows(data):
            return False
        try:
            header, raw = split_raw(data, grpc_codec.RAW_INPUTS)
        except InvalidRequest:
            return False  # which is soon found out again
        return len(header) >= LENGTHY_BYTES or (bool(raw) and b"BYTES" in header)


class _Layout(Generic[M]):
    """What a message looks like.

    Parameters
    ----------
    like : InferRequest or InferResponse
        All that it says but for its tensors.
    around : tuple of (bytes, int, int)
        The bytes around the contents, each with where they begin and end.
    tensors : tuple of Content
    """

    __slots__ = ("around", "like", "tensors")

    def __init__(self, like: M, around: tuple[tuple[bytes, int, int], ...], tensors: tuple[Content, ...]) -> None:
        self.like = like
        self.around = around
        self.tensors = tensors


class _Layouts(Generic[M]):
    """What messages of one kind have looked like.

    Parameters
    ----------
    tensors : str
        How the field of a message is called that has the tensors.
    number : int
        Of the field that holds the contents, on the wire.
    """

    def __init__(self, tensors: str, number: int) -> None:
        self._tensors = tensors
        self._number = number
        self._known: dict[tuple[int, bytes], _Layout[M] | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, data: Buffer) -> bool:
        """Whether a message like this one, by its length and its beginning, is known."""
        return self._known.get((len(data), bytes(data[:_HEAD_BYTES]))) is not None

    def read(self, data: Buffer) -> tuple[M, dict[str, np.ndarray]] | None:
        """Return a message without its tensors, and those, as views of `data`; None if none like it is known."""
        layout = self._known.get((len(data), bytes(data[:_HEAD_BYTES])))
        if layout is None:
            return None
        for expected, start, end in layout.around:
            if bytes(data[start:end]) != expected:
                return None
        return layout.like, arrays_in(data, layout.tensors)

    def learn(self, data: Buffer, message: M, *, plain: bool) -> None:
        """Remember a message that was not known, if it is the second one like it, and nothing about it is odd."""
        key = len(data), bytes(data[:_HEAD_BYTES])
        if key not in self._known:
            remember(self._known, key, None)
            return
        if self._known[key] is not None:
            return  # another one of that length and beginning
        arrays: Mapping[str, np.ndarray] = getattr(message, self._tensors)
        sizes = [array.nbytes for array in arrays.values()]
        if not plain or sum(sizes) > len(data) or any(array.dtype not in PLAIN_DTYPES for array in arrays.values()):
            return
        spanned = [(start, end) for _, start, end in spans(data, self._number)]
        if not spanned or sizes != [b - a for a, b in spanned]:
            return  # of a tensor in shared memory the content is empty
        edges = [0, *chain.from_iterable(spanned), len(data)]
        if sum(b - a for a, b in zip(edges[::2], edges[1::2], strict=True)) > LONGEST_BYTES:
            return
        bare: dict[str, Any] = {self._tensors: {}, "parameters": dict(message.parameters)}
        self._known[key] = _Layout(
            replace(message, **bare),
            tuple((bytes(data[a:b]), a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b),
            tuple(
                (name, array.shape, array.dtype, start)
                for (name, array), (start, _) in zip(arrays.items(), spanned, strict=True)
            ),
        )


def _around(data: bytes, number: int) -> list[bytes]:
    """Bytes before each content of a repeated bytes field, and those after the last."""
    parts = []
    kept = 0
    for _, start, end in spans(data, number):
        parts.append(data[kept:start])
        kept = end
    return [*parts, data[kept:]]


def _timeout(timeout_s: float) -> bytes:
    """One more entry of a request's parameters, of which protobuf takes the fields in any order."""
    value = b"\x10" + varint(timeout_us(timeout_s))
    entry = _TIMEOUT_KEY + b"\x12" + bytes([len(value)]) + value
    return b"\x22" + bytes([len(entry)]) + entry
