"""What reads bytes from elsewhere, as functions of bytes that return nothing and raise only where there is a fault.

A reader ends in a result or in the errors that its docstring names. What it has read can be written again, and read
again, to the same.
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from google.protobuf.message import DecodeError

from fuzz.faults import ends_in, expect
from fuzz.wires import WIRES
from sonic.errors import ConfigError, InvalidRequest, ModelFailed, RegionNotFound, Unauthenticated, Unsupported
from sonic.protocol import documents, grpc_codec, http_codec, jsoncache, modelconfig, tensors, wirecache
from sonic.protocol.form import Form
from sonic.protocol.parameters import priority_of
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.rawfields import join_raw, split_raw
from sonic.protocol.tensors import same_bits
from sonic.server.access.tokens import Tokens
from sonic.server.logsettings import LogSettings
from sonic.server.scheduling.queueing import policy_of
from sonic.server.sharedmemory import SharedMemory
from sonic.server.tracing import Tracer
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.protocol.form import Span
    from sonic.protocol.messages import InferRequest, InferResponse

_NO_HEADER = 0xFFFF
_FOLDER = tempfile.TemporaryDirectory(prefix="sonic-fuzz-")


class _Memory:
    """One region of shared memory, ``r``."""

    def __init__(self) -> None:
        self._content = memoryview(bytearray(64))

    def view(self, span: Span) -> memoryview:
        if span.region != "r":
            raise RegionNotFound(f"no region {span.region!r}")
        if span.offset + span.byte_size > 64:
            raise InvalidRequest("beyond the region")
        return self._content[span.offset : span.offset + span.byte_size]


# ---- the wire -------------------------------------------------------------------------------------------------------


_GRPC_READER, _HTTP_READER = wirecache.RequestReader(), jsoncache.RequestReader()
"""One each, as a server has them: what was sent before must not show in what is read."""


def rawfields(data: bytes) -> None:
    """Part the raw tensors from a message, as protobuf would."""
    try:
        whole = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        whole = None
    with ends_in(InvalidRequest):
        header, raw = split_raw(data, 7)
        if whole is not None:
            expect([bytes(part) for part in raw] == list(whole.raw_input_contents), "not the raw contents of protobuf")
            again = pb.ModelInferRequest.FromString(join_raw(header, raw, 7))
            expect(again.SerializeToString() == whole.SerializeToString(), "not the message of protobuf")


def grpc_request(data: bytes) -> None:
    """Read a ModelInferRequest."""
    grpc_codec.id_from_wire(data)
    with ends_in(InvalidRequest, Unsupported):
        grpc_codec.request_from_wire(data)
    with ends_in(InvalidRequest):
        request, _ = grpc_codec.request_from_wire(data, _Memory())
        priority_of(request.parameters)
        _same(request, grpc_codec.request_from_wire(grpc_codec.request_to_wire(request))[0])
        for _ in range(3):  # then it is known
            _same(request, _GRPC_READER(data, _Memory())[0])


def grpc_response(data: bytes) -> None:
    """Read a ModelInferResponse, alone and as one of a stream."""
    with suppress(ModelFailed):  # its text may be the server's
        grpc_codec.stream_from_wire(data)
    with ends_in(ModelFailed):
        grpc_codec.response_from_wire(data)
    with ends_in(ModelFailed):
        response = grpc_codec.response_from_wire(data, _Memory())
        _same(response, grpc_codec.response_from_wire(grpc_codec.response_to_wire(response)))


def http_request(data: bytes) -> None:
    """Read the body of an infer request; the first two bytes are the length of its JSON, as the header says."""
    length, body = _header(data)
    with ends_in(InvalidRequest, Unsupported):
        http_codec.request_from_wire(body, length, "m")
    with ends_in(InvalidRequest):
        request, _ = http_codec.request_from_wire(body, length, "m", regions=_Memory())
        priority_of(request.parameters)
        _same(request, http_codec.request_from_wire(*http_codec.request_to_wire(request), "m")[0])
        for _ in range(3):  # then it is known
            _same(request, _HTTP_READER(body, length, "m", regions=_Memory())[0])


def http_response(data: bytes) -> None:
    """Read the body of an infer response, and of an error."""
    length, body = _header(data)
    documents.error_from_wire(body)
    with ends_in(ModelFailed):
        response = http_codec.response_from_wire(body, length)
        _same(response, _again(response))


def http_answers(data: bytes) -> None:
    """Read what a server says of itself and its models."""
    for read in (documents.server_info_from_wire, documents.statistics_from_wire, documents.index_from_wire):
        with ends_in(ModelFailed):
            read(data)
    with ends_in(ModelFailed, InvalidRequest):
        documents.spec_from_wire(data, b"{}")
    with ends_in(ModelFailed, InvalidRequest):
        documents.spec_from_wire(b"{}", data)


def tensor(data: bytes) -> None:
    """Read a tensor; the first bytes are its datatype and its shape."""
    if len(data) < 2:
        return
    dtype = list(DType)[data[0] % len(DType)]
    dimensions = data[1] % 8
    # Most shapes that are drawn from all there are fit nothing: small and huge dimensions, and none between.
    shape = [size if size < 32 else size - 64 if size < 64 else 1 << size - 64 for size in data[2 : 2 + dimensions]]
    content = data[2 + dimensions :]
    with ends_in(InvalidRequest):
        array = tensors.from_wire(content, dtype, shape)
        expect(list(array.shape) == shape and array.dtype == dtype.numpy, f"{array.dtype} {array.shape}")
        if dtype is not DType.BOOL and not (dtype is DType.BF16 and (array != array).any()):
            expect(bytes(tensors.to_wire(array, dtype)) == content, "not the same bytes again")
    with ends_in(InvalidRequest):
        tensors.from_shared(memoryview(bytearray(content)), dtype, shape)


# ---- documents ------------------------------------------------------------------------------------------------------


def pbtxt(data: bytes) -> None:
    """Read a config.pbtxt."""
    with ends_in(ConfigError):
        config = modelconfig.parse(data.decode(errors="replace"))
        text = modelconfig.write(config)
        expect(modelconfig.write(modelconfig.parse(text)) == text, "not the same text again")
        _configuration(config)


def config_json(data: bytes) -> None:
    """Read a configuration as a client sends it with a request to load."""
    with ends_in(ConfigError):
        _configuration(modelconfig.parse_json(data.decode(errors="replace"), "config"))


def settings(data: bytes) -> None:
    """Change settings of the log, of traces and of shared memory."""
    logs, traces, memory = LogSettings(logging.Logger("fuzz")), Tracer(), SharedMemory()
    with ends_in(InvalidRequest, Unsupported):
        document = documents.decode_as(data, dict[str, Any], "an object")
        with ends_in(InvalidRequest, Unsupported):
            documents.encode(logs.update(document))
            answer = pb.LogSettingsResponse()
            answer.settings["log_verbose_level"].uint32_param = int(logs.read()["log_verbose_level"])
        texts = {name: [str(value)] if isinstance(value, str | int) else None for name, value in document.items()}
        with ends_in(InvalidRequest, Unsupported):
            documents.encode(traces.update(texts))
        key, offset, size = (document.get(name) for name in ("key", "offset", "byte_size"))
        if isinstance(key, str) and isinstance(offset, int) and isinstance(size, int):
            memory.register("r", key, offset, size)


def token(data: bytes) -> None:
    """Read a bearer token."""
    with ends_in(Unauthenticated):
        _tokens().owner(data.decode("latin-1"))


# ---- parts ----------------------------------------------------------------------------------------------------------


def _header(data: bytes) -> tuple[int | None, bytes]:
    length = int.from_bytes(data[:2], "little")
    return None if length == _NO_HEADER else length, data[2:]


def _again(response: InferResponse) -> InferResponse:
    parts, length = http_codec.response_to_wire(response, Form(binary=True))
    return http_codec.response_from_wire(b"".join(parts), length)


def _same(one: InferRequest | InferResponse, other: InferRequest | InferResponse) -> None:
    def parts(message: Any) -> tuple[dict[str, Any], Any]:
        return (message.inputs if hasattr(message, "inputs") else message.outputs), message.parameters

    (arrays, parameters), (back, others) = parts(one), parts(other)
    expect(
        json.dumps(dict(parameters), sort_keys=True) == json.dumps(dict(others), sort_keys=True), "parameters differ"
    )
    expect(list(arrays) == list(back), "tensors differ")
    for name, array in arrays.items():
        if one.dtype(name) is not DType.BF16:  # of which a NaN may be another one
            expect(same_bits(array, back[name]), f"tensor {name!r} differs")


@cache
def _tokens() -> Tokens:
    key = jwt.algorithms.HMACAlgorithm.to_jwk(bytes(range(32)), as_dict=True)
    path = Path(_FOLDER.name) / "keys"
    path.write_text(json.dumps({"keys": [{**key, "alg": "HS256", "kid": "k"}]}))
    return Tokens(jwks=path)


def _configuration(config: Any) -> None:
    modelconfig.check_filename(config)
    full = modelconfig.normalise(config, "m")
    modelconfig.validate(full)
    policy_of(full, merge=True)
    documents.config_from_wire(documents.config_to_wire(full))
    documents.spec_to_wire(modelconfig.to_spec(full, "1"))


_READERS = (
    rawfields,
    grpc_request,
    grpc_response,
    http_request,
    http_response,
    http_answers,
    tensor,
    pbtxt,
    config_json,
    settings,
    token,
)
TARGETS: dict[str, Callable[[bytes], None]] = {
    **{name: read for name, (read, _) in WIRES.items()},
    **{read.__name__: read for read in _READERS},
}
