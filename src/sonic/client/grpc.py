"""Transport over gRPC. Its answers come in the connection's own thread: no thread is held by a request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.experimental

from sonic.client.promise import Promise, as_inference_error
from sonic.client.secure import Credentials
from sonic.errors import Cancelled, InferenceError, ModelFailed, ModelNotFound, Unavailable, Unsupported
from sonic.protocol import records, status
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.protocol.wirecache import RequestWriter, ResponseReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sonic.protocol.form import Placement
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.specs import ModelSpec

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that comes back is found within seconds, not minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A peer that is gone without a word is found out while requests wait for it, and the connection made anew.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # More pings without a request in between, and grpc's servers take it for abuse.
    ("grpc.http2.max_pings_without_data", 2),
    # http_proxy is set on many sites for the sake of files; a server of models is reached directly.
    ("grpc.enable_http_proxy", 0),
    # Calls of unary_stream run in the thread that waits for them and, unlike blocking ones, others can cancel them.
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
)

_INFER = "/inference.GRPCInferenceService/ModelInfer"

_COMPRESSION = {
    "": None,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


class GrpcTransport:
    """A way to a server over gRPC; see :class:`~sonic.client.transport.Transport`.

    Copies of a tensor in this process: one into the message that is sent; none out of one that came, if it lies
    aligned there, else one.

    Parameters
    ----------
    target : str
        ``host:port``. Nothing is connected before the first call.
    scheme : str
        ``grpc``; ``grpcs`` with TLS; ``grpc+unix``, and `target` is the path of a socket.
    compression : str
        ``gzip`` or ``deflate``, of requests; the server decides about its answers. None if empty.
    **credentials : str
        See :class:`sonic.client.secure.Credentials`.

    Raises
    ------
    ConfigError
        If a file of the credentials cannot be used.
    """

    def __init__(self, target: str, *, scheme: str = "grpc", compression: str = "", **credentials: str) -> None:
        given = Credentials(**credentials)
        self._url = f"{scheme}:{'' if scheme == 'grpc+unix' else '//'}{target}"
        self._closed = False
        named = {"compression": _COMPRESSION[compression]}
        if scheme == "grpcs":
            given.context()  # which says what is wrong with the files
            trust = grpc.ssl_channel_credentials(given.read("ca"), given.read("key"), given.read("cert"))
            self._channel = grpc.secure_channel(target, trust, options=OPTIONS, **named)
        else:
            given.refuse_tls(self._url)
            where = f"unix:{target}" if scheme == "grpc+unix" else target
            self._channel = grpc.insecure_channel(where, options=OPTIONS, **named)
        self._authorization = given.authorization()
        self._stub = GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        # Without serialisers: the codec goes between bytes and arrays itself.
        self._infer = self._channel.unary_unary(_INFER)
        self._infer_here = self._channel.unary_stream(_INFER)
        self._write, self._read = RequestWriter(), ResponseReader()

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""
        return self._url

    def submit(self, request: InferRequest, placement: Placement | None = None) -> Future[InferResponse]:
        """Send a request and return at once; an error is in the future."""
        promise: Promise[InferResponse] = Promise()
        try:
            call = self._start(self._infer, self._write(request, placement), request.timeout_s)
        except InferenceError as error:
            promise.reject(error)
            return promise
        call.add_done_callback(lambda ended: self._receive(ended, promise, placement))
        promise.cancels(call)
        return promise

    def begin(
        self, request: InferRequest, placement: Placement | None = None
    ) -> tuple[Future[InferResponse], Callable[[], object] | None]:
        """Send a request for somebody who waits; see :class:`~sonic.client.transport.WaitingTransport`."""
        promise: Promise[InferResponse] = Promise()
        try:
            call = self._started(self._infer_here, self._write(request, placement), request.timeout_s)
        except InferenceError as error:
            promise.reject(error)
            return promise, None
        promise.cancels(call)
        return promise, partial(self._bring, call, promise, placement)

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model (ModelMetadata and ModelConfig)."""
        named = {"name": model, "version": version}
        metadata_call = self._start(self._stub.ModelMetadata, pb.ModelMetadataRequest(**named), timeout_s)
        config_call = self._start(self._stub.ModelConfig, pb.ModelConfigRequest(**named), timeout_s)
        metadata = self._wait(metadata_call)
        try:
            config = self._wait(config_call).config
        except Unsupported:  # an extension that not every server has
            config = ModelConfig()
        return records.spec_from_wire(metadata, config, version)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration (ModelConfig)."""
        request = pb.ModelConfigRequest(name=model, version=version)
        config: ModelConfig = self._call(self._stub.ModelConfig, request, timeout_s).config
        return config

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version that the server knows of (RepositoryIndex)."""
        return records.index_from_wire(self._call(self._stub.RepositoryIndex, pb.RepositoryIndexRequest(), timeout_s))

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model (ModelStatistics), all of its clients together."""
        request = pb.ModelStatisticsRequest(name=model, version=version)
        rows = records.statistics_from_wire(self._call(self._stub.ModelStatistics, request, timeout_s))
        if not rows:
            raise ModelNotFound(f"{self._url} has no statistics of model {model!r}")
        return rows[-1]

    def ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests now. False, not an error, if it cannot be reached."""
        try:
            return bool(self._call(self._stub.ServerReady, pb.ServerReadyRequest(), timeout_s).ready)
        except InferenceError:
            return False

    def register(self, name: str, key: str, byte_size: int, timeout_s: float | None = None) -> None:
        """Have the server map shared memory under a name (SystemSharedMemoryRegister)."""
        request = pb.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=byte_size)
        self._call(self._stub.SystemSharedMemoryRegister, request, timeout_s)

    def unregister(self, name: str, timeout_s: float | None = None) -> None:
        """Have the server forget it (SystemSharedMemoryUnregister)."""
        request = pb.SystemSharedMemoryUnregisterRequest(name=name)
        self._call(self._stub.SystemSharedMemoryUnregister, request, timeout_s)

    def close(self) -> None:
        """Release the connection. Requests in flight end in Cancelled."""
        self._closed = True
        self._channel.close()

    def _call(self, method: Any, request: object, timeout_s: float | None) -> Any:
        return self._wait(self._start(method, request, timeout_s))

    def _start(self, method: Any, request: object, timeout_s: float | None) -> Any:
        return self._started(method.future, request, timeout_s)

    def _started(self, method: Any, request: object, timeout_s: float | None) -> Any:
        metadata = None if self._authorization is None else (("authorization", self._authorization()),)
        try:
            return method(request, timeout=timeout_s, metadata=metadata)
        except ValueError:  # what grpc raises on a closed channel
            raise Cancelled(f"{self._url}: the connection is closed") from None

    def _wait(self, call: Any) -> Any:
        try:
            return call.result()
        except (grpc.RpcError, grpc.FutureCancelledError):
            raise self._translated(call) from None

    def _receive(self, call: Any, promise: Promise[InferResponse], placement: Placement | None) -> None:
        try:
            regions = None if placement is None else placement.regions
            promise.resolve(self._read(call.result(), regions))
        except (grpc.RpcError, grpc.FutureCancelledError):
            promise.reject(self._translated(call))
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            promise.reject(as_inference_error(error))

    def _bring(self, call: Any, promise: Promise[InferResponse], placement: Placement | None) -> None:
        try:
            data = next(call)
            if next(call, None) is not None:  # the last word is the status: an answer without it counts for nothing
                call.cancel()
                raise ModelFailed(f"{self._url}: the server sent more than one answer")
            promise.resolve(self._read(data, None if placement is None else placement.regions))
        except StopIteration:
            promise.reject(ModelFailed(f"{self._url}: the server sent no answer"))
        except grpc.RpcError:
            call.__traceback__ = None  # which would hold this frame, and it the call
            promise.reject(self._translated(call))
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            promise.reject(as_inference_error(error))

    def _translated(self, call: Any) -> InferenceError:
        if self._closed:
            return Cancelled(f"{self._url}: the connection was closed")
        if call.code() is grpc.StatusCode.CANCELLED and not call.cancelled():  # by its owner, that is
            return Unavailable(f"{self._url}: the server, or a proxy, dropped the request")
        error = status.from_grpc(call.code().value[0], " ".join((call.details() or "").split()))
        return type(error)(f"{self._url}: {error}") if error.retryable else error


secure = partial(GrpcTransport, scheme="grpcs")
unix = partial(GrpcTransport, scheme="grpc+unix")
