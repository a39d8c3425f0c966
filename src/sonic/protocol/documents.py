"""JSON documents, for both ends of an HTTP connection: errors, and what is said of servers and models.

What carries tensors is in :mod:`sonic.protocol.http_codec`; what the records hold, in :mod:`sonic.protocol.records`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sonic.errors import InvalidRequest, ModelFailed
from sonic.protocol import records
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.protocol.protojson import from_document, to_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

    from sonic.protocol.messages import ModelStatistics, ModelStatus, ServerInfo
    from sonic.protocol.tensors import Buffer
    from sonic.specs import ModelSpec

    M = TypeVar("M", bound=Message)
    T = TypeVar("T")


class _Error(msgspec.Struct):
    error: str = ""


def encode(document: Any) -> bytes:
    """Write a document as JSON."""
    return msgspec.json.encode(document)


def decode(body: bytes) -> Any:
    """Read a JSON document.

    Raises
    ------
    InvalidRequest
        If it is not JSON.
    """
    return decode_as(body, object, "JSON")


def decode_as(data: Buffer, kind: type[T], what: str) -> T:
    """Read a JSON document that has the form of a type.

    Raises
    ------
    InvalidRequest
        If it has not: that the body is not `what`, and why.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the body is not {what}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        strict = error
    content = bytes(data)
    if b"NaN" in content or b"Infinity" in content:  # for which strict JSON has no word
        try:
            document = json.loads(content.decode())
            if b"\\u" in content:  # halves of characters pass json, and nothing that follows
                json.dumps(document, ensure_ascii=False).encode()
            return msgspec.convert(document, kind)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"the body is not {what}: {error}") from None
        except (ValueError, RecursionError):
            pass  # what is wrong the strict reader has said
    raise InvalidRequest(f"the body is not {what}: failed to parse the JSON buffer: {strict}")


def error_to_wire(error: BaseException) -> bytes:
    """Write the body of an error; :func:`sonic.protocol.status.http_status` gives its status."""
    return encode(_Error(str(error)))


def error_from_wire(body: bytes) -> str:
    """Text of an error's body, which may be of a proxy and no JSON at all."""
    try:
        return msgspec.json.decode(body, type=_Error).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return " ".join(body[:200].decode(errors="replace").split())


def server_info_to_wire(info: ServerInfo) -> bytes:
    """Write what a server says of itself."""
    return encode(to_document(records.server_info_to_wire(info)))


def server_info_from_wire(body: bytes) -> ServerInfo:
    """Read what a server says of itself."""
    return records.server_info_from_wire(_answer(body, pb.ServerMetadataResponse))


def spec_to_wire(spec: ModelSpec, versions: Sequence[str] = ()) -> bytes:
    """Write a model's metadata, with every version that is served."""
    return encode(to_document(records.spec_to_wire(spec, versions)))


def spec_from_wire(metadata: bytes, config: bytes, version: str = "") -> ModelSpec:
    """Read a model's metadata; the configuration adds the largest batch and which inputs are optional."""
    return records.spec_from_wire(_answer(metadata, pb.ModelMetadataResponse), config_from_wire(config), version)


def config_to_wire(config: ModelConfig) -> bytes:
    """Write a model's configuration."""
    return encode(to_document(config))


def config_from_wire(body: bytes) -> ModelConfig:
    """Read a model's configuration."""
    return _answer(body, ModelConfig)


def statistics_to_wire(rows: Iterable[ModelStatistics]) -> bytes:
    """Write the counters of models."""
    return encode(to_document(records.statistics_to_wire(rows)))


def statistics_from_wire(body: bytes) -> tuple[ModelStatistics, ...]:
    """Read the counters of models."""
    return records.statistics_from_wire(_answer(body, pb.ModelStatisticsResponse))


def index_to_wire(rows: Iterable[ModelStatus]) -> bytes:
    """Write the repository index, which is an array over HTTP. As with Triton, what has nothing in it is left out."""
    models = to_document(records.index_to_wire(rows))["models"]
    return encode([{key: text for key, text in model.items() if text} for model in models])


def index_from_wire(body: bytes) -> tuple[ModelStatus, ...]:
    """Read the repository index."""
    return records.index_from_wire(_answer(body, pb.RepositoryIndexResponse, "models"))


def _answer(body: bytes, kind: type[M], member: str = "") -> M:
    try:
        document = decode(body)
    except InvalidRequest as error:
        raise ModelFailed(f"the server's answer is no {kind.DESCRIPTOR.name}: {error}") from None
    return from_document({member: document} if member else document, kind)
