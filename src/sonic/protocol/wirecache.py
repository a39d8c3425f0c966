"""Requests and responses <-> protobuf where one looks like the last: what repeats is worked out once.

A client calls a model again and again with tensors of the same names, datatypes and shapes. The bytes around the
contents are the same then, and so is what they mean. What is not seen for the second time at least, and whatever is
out of the ordinary, is left to :mod:`sonic.protocol.grpc_codec`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.protocol import grpc_codec
from sonic.protocol.messages import InferResponse
from sonic.protocol.parameters import TIMEOUT, timeout_us
from sonic.protocol.rawfields import spans, varint

if TYPE_CHECKING:
    from sonic.protocol.form import Placement, Regions
    from sonic.protocol.messages import InferRequest

_MOST = 256
"""Forms that are remembered. Where every request has a shape of its own, nothing is gained, and little must be lost."""

_LARGEST_BYTES = 1 << 30
"""Of a message whose form is remembered: whether a larger one can be sent at all is a question for each."""

_HEAD_BYTES = 48
"""Of a response, by which it is recognised; then every byte around its contents is compared."""

_KINDS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_PLAIN = frozenset(np.dtype(kind) for kind in _KINDS if sys.byteorder == "little")
"""Whose bytes on the wire are those in memory, and whatever they are, make sense."""

_LONGEST_S = 1e9
"""Of a timeout; what to make of a longer one is a question for each."""

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
        key = (
            request.model,
            request.version,
            request.outputs,
            *inputs,
            *[(array.dtype, array.shape) for array in arrays],
        )
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
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = None
        elif len(whole) < _LARGEST_BYTES and all(array.dtype in _PLAIN for array in request.inputs.values()):
            plain = whole if request.timeout_s is None else grpc_codec.request_to_wire(replace(request, timeout_s=None))
            self._known[key] = tuple(_around(plain, grpc_codec.RAW_INPUTS)[:-1])
        return whole


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a response is whose bytes around its contents are these."""

    like: InferResponse
    around: tuple[tuple[bytes, int], ...]
    outputs: tuple[tuple[str, tuple[int, ...], np.dtype[Any], int], ...]


class ResponseReader:
    """Reads ModelInferResponses as :func:`~sonic.protocol.grpc_codec.response_from_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], _Layout | None] = {}

    def __call__(self, data: bytes, regions: Regions | None = None) -> InferResponse:
        """Read a response; the arrays are views of `data`, or of `regions`, where they can be.

        Raises
        ------
        ModelFailed
            If the bytes are no such message, or sizes, shapes and datatypes do not agree.
        """
        if regions is not None:
            return grpc_codec.response_from_wire(data, regions)
        key = len(data), data[:_HEAD_BYTES]
        layout = self._known.get(key)
        if layout is None:
            return self._first(data, key)
        for expected, start in layout.around:
            if not data.startswith(expected, start):
                return grpc_codec.response_from_wire(data)
        outputs = {}
        for name, shape, dtype, start in layout.outputs:
            array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, start)
            outputs[name] = array if array.flags.aligned else array.copy()
        like = layout.like
        return InferResponse(like.model, like.version, outputs, like.id, dict(like.parameters))

    def _first(self, data: bytes, key: tuple[int, bytes]) -> InferResponse:
        response = grpc_codec.response_from_wire(data)
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = None
            return response
        contents = spans(data, grpc_codec.RAW_OUTPUTS)
        outputs = response.outputs
        plain = not response.dtypes and all(array.dtype in _PLAIN for array in outputs.values())
        if plain and len(contents) == len(outputs) > 0:
            around = _around(data, grpc_codec.RAW_OUTPUTS)
            ends = [0, *(end for _, _, end in contents)]
            self._known[key] = _Layout(
                InferResponse(response.model, response.version, {}, response.id, response.parameters),
                tuple((part, start) for part, start in zip(around, ends, strict=True) if part),
                tuple(
                    (name, array.shape, array.dtype, start)
                    for (name, array), (_, start, _) in zip(outputs.items(), contents, strict=True)
                ),
            )
        return response


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
