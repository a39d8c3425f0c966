"""Requests and responses <-> HTTP bodies, for servers, where one looks like the last: what repeats is worked out once.

As :mod:`sonic.protocol.wirecache` for protobuf. Only bodies all of whose tensors are in the binary tail are remembered,
by their JSON; all others are left to :mod:`sonic.protocol.http_codec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sonic.protocol import http_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.repeats import LENGTHY_BYTES, LONGEST_BYTES, PLAIN_DTYPES, arrays_in, contents, form_of, remember

if TYPE_CHECKING:
    from sonic.protocol.form import Form, Regions
    from sonic.protocol.messages import InferResponse
    from sonic.protocol.repeats import Content
    from sonic.protocol.tensors import Buffer


class _Layout:
    """What a body says that begins with some JSON.

    Parameters
    ----------
    like : InferRequest
        All but its tensors.
    form : Form
    end : int
        Length of the body.
    tensors : tuple of Content
    """

    __slots__ = ("end", "form", "like", "tensors")

    def __init__(self, like: InferRequest, form: Form, end: int, tensors: tuple[Content, ...]) -> None:
        self.like = like
        self.form = form
        self.end = end
        self.tensors = tensors


class RequestReader:
    """Reads bodies as :func:`~sonic.protocol.http_codec.request_from_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, bytes], _Layout | None] = {}

    def __call__(
        self, body: Buffer, header_length: int | None, model: str, version: str = "", regions: Regions | None = None
    ) -> tuple[InferRequest, Form]:
        """Read a request, and how its response wants to be written.

        Raises
        ------
        InvalidRequest, Unsupported
            As there.
        """
        if header_length is None or not 0 <= header_length <= LONGEST_BYTES:
            return http_codec.request_from_wire(body, header_length, model, version, regions)
        key = model, version, bytes(body[:header_length])
        layout = self._known.get(key)
        if layout is None or layout.end != len(body):
            request, form = http_codec.request_from_wire(body, header_length, model, version, regions)
            self._learn(key, len(body), request, form)
            return request, form
        like = layout.like
        inputs, parameters = arrays_in(body, layout.tensors), dict(like.parameters)
        return InferRequest(model, inputs, version, like.id, like.outputs, parameters, like.timeout_s), layout.form

    def lengthy(self, body: Buffer, header_length: int | None) -> bool:
        """Whether a body has so many numbers or texts to go through that reading it takes milliseconds."""
        if len(body) < LENGTHY_BYTES:
            return False
        if header_length is None or header_length >= LENGTHY_BYTES:
            return True
        return b"BYTES" in bytes(body[: max(header_length, 0)])

    def _learn(self, key: tuple[str, str, bytes], end: int, request: InferRequest, form: Form) -> None:
        if key not in self._known:
            remember(self._known, key, None)
            return
        if form.places or request.classes or request.dtypes:
            return
        tensors = []
        start = len(key[-1])
        for name, array in request.inputs.items():
            tensors.append((name, array.shape, array.dtype, start))
            start += array.nbytes
        # Else some are in the JSON, or in shared memory.
        if start == end and all(dtype in PLAIN_DTYPES for _, _, dtype, _ in tensors):
            like = replace(request, inputs={}, parameters=dict(request.parameters))
            self._known[key] = _Layout(like, form, end, tuple(tensors))


class ResponseWriter:
    """Writes bodies as :func:`~sonic.protocol.http_codec.response_to_wire` does. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], bytes | None] = {}

    def __call__(self, response: InferResponse, form: Form) -> tuple[list[Buffer], int | None]:
        """Write a response, in parts that share the memory of the arrays where they can.

        Raises
        ------
        ModelFailed, InvalidRequest
            As there.
        """
        outputs = response.outputs
        odd = response.id or response.parameters or response.dtypes or form.named or form.places or not outputs
        if odd or not form.binary:
            return http_codec.response_to_wire(response, form)
        key = (response.model, response.version, *form_of(outputs))
        head = self._known.get(key)
        if head is None:
            parts, length = http_codec.response_to_wire(response, form)
            if key not in self._known:
                remember(self._known, key, None)
            elif all(array.dtype in PLAIN_DTYPES for array in outputs.values()):
                self._known[key] = bytes(parts[0])
            return parts, length
        return [head, *contents(outputs.values())], len(head)


class JsonCodec:
    """What reads bodies and writes them, and remembers how."""

    def __init__(self) -> None:
        self.read = RequestReader()
        self.write = ResponseWriter()
