"""The ways to the server, for asyncio: a request goes out, and exactly one thing comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import httpx

from sonic.errors import Cancelled, InferenceError, ModelFailed
from sonic.protocol import documents, grpc_codec, http_codec, status
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub

from .probes import LIMIT_S, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sonic.protocol.messages import InferRequest, InferResponse

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each channel
)
_CODES = {3, 4, 5, 12, 13, 14}  # those that a server of Sonic's gives; any other is named as it is
_STATUS = {400, 404, 499, 500, 501, 503, 504}
NO_CONNECTION = "NoConnection"
NO_END = "NoEnd"


class Failure(Exception):  # noqa: N818 - a way for a request to end
    """How a request ended that has no response.

    Attributes
    ----------
    name : str
        Of the error's class in Sonic's tree, or of what is none.
    text : str
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Wire(Protocol):
    """A way to the server."""

    name: str

    async def infer(self, request: InferRequest) -> InferResponse:
        """Send a request and wait for its end; Failure if that is not a response."""

    async def garbage(self, body: bytes) -> None:
        """Send what is no request; Failure, if all is well."""

    async def close(self) -> None:
        """Release the connections."""


class GrpcWire:
    """Over gRPC; see :class:`Wire`."""

    name = "gRPC"

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self._stream = self._channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        self._stub = GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def infer(self, request: InferRequest) -> InferResponse:
        """Send a request and wait for its end."""
        return await self._call(grpc_codec.request_to_wire(request), request.timeout_s)

    async def garbage(self, body: bytes) -> None:
        """Send what is no request."""
        await self._call(body, None)

    async def message(self, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """Send a request that is a protobuf message, and get such a response."""
        answer: pb.ModelInferResponse = await self._ask(self._stub.ModelInfer, message)
        return answer

    async def register(self, name: str, key: str, byte_size: int) -> None:
        """Register system shared memory."""
        request = pb.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=byte_size)
        await self._ask(self._stub.SystemSharedMemoryRegister, request)

    async def unregister(self, name: str) -> None:
        """Let the server forget shared memory."""
        await self._ask(self._stub.SystemSharedMemoryUnregister, pb.SystemSharedMemoryUnregisterRequest(name=name))

    async def _ask(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=LIMIT_S)
        except grpc.aio.AioRpcError as error:
            raise _grpc_failure(error) from None

    async def _call(self, body: bytes, timeout_s: float | None) -> InferResponse:
        try:
            async with asyncio.timeout(LIMIT_S):
                return grpc_codec.response_from_wire(await self._infer(body, timeout=timeout_s))
        except grpc.aio.AioRpcError as error:
            raise _grpc_failure(error) from None
        except TimeoutError:
            raise Failure(NO_END, f"within {LIMIT_S:g} s") from None
        except ModelFailed as error:
            raise Failure("unreadable", str(error)) from None

    async def stream(self, requests: Sequence[InferRequest]) -> AsyncIterator[InferResponse | Failure]:
        """Send requests through one stream, and yield what comes back, in order.

        An error within the stream has a text but no code; it is named ``InStream``.

        Raises
        ------
        Failure
            How the stream ended, if not well.
        """

        async def sent() -> AsyncIterator[bytes]:
            for request in requests:
                yield grpc_codec.request_to_wire(request)

        try:
            async with asyncio.timeout(LIMIT_S):
                async for answer in self._stream(sent()):
                    try:
                        yield grpc_codec.stream_from_wire(answer)
                    except ModelFailed as error:
                        yield Failure("InStream", str(error))
        except grpc.aio.AioRpcError as error:
            raise _grpc_failure(error) from None
        except TimeoutError:
            raise Failure(NO_END, f"within {LIMIT_S:g} s") from None

    async def close(self) -> None:
        """Release the connections."""
        await self._channel.close()


class HttpWire:
    """Over HTTP; see :class:`Wire`."""

    name = "HTTP"

    def __init__(self, url: str, connections: int = 100) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=2.0)
        self._client = httpx.AsyncClient(base_url=url, timeout=LIMIT_S, limits=limits, trust_env=False)

    async def infer(self, request: InferRequest) -> InferResponse:
        """Send a request and wait for its end."""
        body, length = http_codec.request_to_wire(request)
        version = f"/versions/{request.version}" if request.version else ""
        return await self._post(f"/v2/models/{request.model}{version}/infer", body, length)

    async def garbage(self, body: bytes) -> None:
        """Send what is no request."""
        await self._post("/v2/models/scale/infer", body, max(1, len(body) // 2))  # with 0 all bytes are a tensor

    async def _post(self, path: str, body: bytes, length: int) -> InferResponse:
        try:
            answer = await self._client.post(path, content=body, headers={http_codec.HEADER_LENGTH: str(length)})
        except httpx.TimeoutException:
            raise Failure(NO_END, f"within {LIMIT_S:g} s") from None
        except httpx.HTTPError as error:
            raise Failure(NO_CONNECTION, f"{type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            text = documents.error_from_wire(answer.content)
            if answer.status_code not in _STATUS:
                raise Failure(f"HTTP {answer.status_code}", text)
            raise Failure(name_of(status.from_http(answer.status_code, text)), text)
        told = answer.headers.get(http_codec.HEADER_LENGTH)
        try:
            return http_codec.response_from_wire(answer.content, int(told) if told else None)
        except InferenceError as error:
            raise Failure("unreadable", str(error)) from None

    async def close(self) -> None:
        """Release the connections."""
        await self._client.aclose()


def _grpc_failure(error: grpc.aio.AioRpcError) -> Failure:
    number, text = error.code().value[0], error.details() or ""
    if number == 1:
        return Failure(name_of(Cancelled()), text)
    if number not in _CODES:
        return Failure(f"gRPC {error.code().name}", text)
    return Failure(name_of(status.from_grpc(number, text)), text)
