"""The dataplane over gRPC: decode, call, encode.

grpc's own threads run the handlers, and with them the models: one hand-over less a request. Calls that only ask have a
pool of their own, so that probes are answered while every other thread waits for a model.

Copies of a request's tensors: none beyond grpc's own (see :mod:`sonic.protocol.grpc_codec`); of a response's: one.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import grpc

from sonic.errors import Cancelled, ConfigError, InferenceError, InvalidRequest, ModelFailed, SonicError
from sonic.protocol import grpc_codec
from sonic.protocol.form import PLAIN
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto import health_pb2, reflection_pb2
from sonic.protocol.rawfields import MAX_BYTES
from sonic.protocol.status import grpc_code
from sonic.server import reflection
from sonic.server.failures import failed
from sonic.server.grpc_extensions import extension_calls
from sonic.server.health import SERVICE as HEALTH
from sonic.server.health import Health
from sonic.server.sharedmemory import PeerRegions
from sonic.server.sockets import authority, check_unix, listen

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from sonic.protocol.form import Form
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.server.dataplane import Dataplane
    from sonic.server.guard import Guard
    from sonic.server.tls import Tls

log = logging.getLogger("sonic.server")

SERVICE = "inference.GRPCInferenceService"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_PROBES = ("ServerLive", "ServerReady", "Check", "List")  # those who ask have no token
_MAX_STREAMED = 1024  # requests of one stream that are under way; further ones wait in the connection
_MAX_DETAILS = 2000  # they travel in a header, of which peers accept some 8 kB
_NO_LIMIT = 2**31 - 1
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    # Under a burst grpc would drop requests before anybody here has seen them, as if their sender had given them up.
    ("grpc.server.max_pending_requests", _NO_LIMIT),
    ("grpc.server.max_pending_requests_hard_limit", _NO_LIMIT),
    ("grpc.server_max_unrequested_time_in_server", _NO_LIMIT),
)


class GrpcFront:
    """A gRPC server on a port, a Unix domain socket or both, claimed when it is made.

    Parameters
    ----------
    host : str
    port : int or None
        0: any free one. None: no port.
    threads : int
        Requests that can be in hand at the same time; further ones wait within grpc.
    socket : path or None
        Of the Unix domain socket.
    max_message_bytes : int
        Largest request, decompressed; larger ones are refused.
    tls : Tls or None
        For the port; None: not encrypted.
    guard : Guard or None
        Who is let in; None: everyone.

    Raises
    ------
    ConfigError
        If the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        *,
        threads: int = 256,
        socket: str | os.PathLike[str] | None = None,
        max_message_bytes: int = MAX_BYTES,
        tls: Tls | None = None,
        guard: Guard | None = None,
    ) -> None:
        # grpc says of a port only that it failed; a socket of our own says why.
        if port is not None:
            listen(host, port, "--grpc-port").close()
        where = None if socket is None else check_unix(socket, "--grpc-socket")
        self._max_bytes = max_message_bytes
        self._guard = guard
        self._socket = where
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="sonic-grpc"),
            options=(*_OPTIONS, ("grpc.max_receive_message_length", max_message_bytes)),
        )
        self._control = ThreadPoolExecutor(4, thread_name_prefix="sonic-grpc-control")
        try:
            self._health: Health | None = None
            self.port: int = 0
            if port is not None and tls is not None:
                self.port = self._server.add_secure_port(authority(host, port), tls.grpc_credentials())
            elif port is not None:
                self.port = self._server.add_insecure_port(authority(host, port))
            if where is not None:
                self._server.add_insecure_port(f"unix:{where}")
        except RuntimeError as error:
            raise ConfigError(f"port {port} is taken on {host}: choose another with --grpc-port") from error

    def start(self, dataplane: Dataplane) -> None:
        """Begin to answer."""
        handlers = _Handlers(dataplane, self._max_bytes, self._guard)
        health = self._health = Health(dataplane, (SERVICE,))
        calls: dict[str, dict[str, Any]] = {SERVICE: {}, HEALTH: {}, **{name: {} for name in reflection.SERVICES}}
        control: tuple[tuple[str, str, Callable[..., Any], Any], ...] = (
            (SERVICE, "ServerLive", handlers.server_live, pb.ServerLiveRequest),
            (SERVICE, "ServerReady", handlers.server_ready, pb.ServerReadyRequest),
            (SERVICE, "ModelReady", handlers.model_ready, pb.ModelReadyRequest),
            (SERVICE, "ServerMetadata", handlers.server_metadata, pb.ServerMetadataRequest),
            (SERVICE, "ModelMetadata", handlers.model_metadata, pb.ModelMetadataRequest),
            (SERVICE, "ModelConfig", handlers.model_config, pb.ModelConfigRequest),
            (SERVICE, "ModelStatistics", handlers.model_statistics, pb.ModelStatisticsRequest),
            (SERVICE, "RepositoryIndex", handlers.repository_index, pb.RepositoryIndexRequest),
            (SERVICE, "RepositoryModelLoad", handlers.load, pb.RepositoryModelLoadRequest),
            (SERVICE, "RepositoryModelUnload", handlers.unload, pb.RepositoryModelUnloadRequest),
            (HEALTH, "Check", health.check, health_pb2.HealthCheckRequest),
            (HEALTH, "List", health.list, health_pb2.HealthListRequest),
            *((SERVICE, method, call, request) for method, call, request in extension_calls(dataplane)),
        )
        for service, method, call, request in control:
            calls[service][method] = grpc.unary_unary_rpc_method_handler(
                _answered(call, self._control, None if method in _PROBES else self._guard),
                request_deserializer=request.FromString,
                response_serializer=_serialized,
            )
        calls[HEALTH]["Watch"] = grpc.unary_stream_rpc_method_handler(
            _on(self._control, health.watch), health_pb2.HealthCheckRequest.FromString, _serialized
        )
        for name in reflection.SERVICES:
            calls[name]["ServerReflectionInfo"] = grpc.stream_stream_rpc_method_handler(
                _answered(lambda requests, _: reflection.answers(requests, calls), guard=self._guard),
                reflection_pb2.ServerReflectionRequest.FromString,
                _serialized,
            )
        # Bytes go in and out: tensors pass protobuf by.
        calls[SERVICE]["ModelInfer"] = grpc.unary_unary_rpc_method_handler(_answered(handlers.infer, guard=self._guard))
        calls[SERVICE]["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(_answered(handlers.stream))
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, methods) for service, methods in calls.items()]
        )
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and give those in hand so many seconds to end."""
        if self._health is not None:
            self._health.close()
        self._server.stop(grace_s).wait()
        self._control.shutdown(wait=False)
        if self._socket is not None:
            Path(self._socket).unlink(missing_ok=True)


class _Awaited(NamedTuple):
    future: Future[InferResponse]
    form: Form
    id: str


class _Handlers:
    def __init__(self, dataplane: Dataplane, max_bytes: int, guard: Guard | None) -> None:
        self._dataplane = dataplane
        self._max_bytes = max_bytes
        self._guard = guard

    def infer(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._check_size(data)
        regions = PeerRegions(self._dataplane.memory, lambda: peer_address(context.peer()))
        request, form = grpc_codec.request_from_wire(data, regions)
        future = self._dataplane.infer(_with_deadline(request, context))
        if not future.done():
            context.add_callback(future.cancel)  # the client is gone
        try:
            return grpc_codec.response_to_wire(future.result(), form)
        finally:
            del future  # which holds the error, whose traceback holds this frame

    def stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answer in the order of the requests, of which many can be under way; an error ends only its own."""
        client = "" if self._guard is None else _identify(self._guard, context)
        return self._answers(requests, context, client)

    def _answers(self, requests: Iterator[bytes], context: grpc.ServicerContext, client: str) -> Iterator[bytes]:
        pending: queue.SimpleQueue[_Awaited | None] = queue.SimpleQueue()
        regions = PeerRegions(self._dataplane.memory, lambda: peer_address(context.peer()))
        room = threading.Semaphore(_MAX_STREAMED)

        def read() -> None:
            try:
                for data in requests:
                    room.acquire()
                    awaited = self._accept(data, regions, client)
                    if not context.is_active():
                        awaited.future.cancel()
                    pending.put(awaited)
            except grpc.RpcError:  # how the iterator ends when the client is gone
                log.debug("a stream was cut by its client")
            finally:
                pending.put(None)

        threading.Thread(target=read, name="sonic-grpc-stream", daemon=True).start()
        try:
            while (awaited := pending.get()) is not None:
                future = awaited.future
                if not future.done():
                    context.add_callback(future.cancel)
                try:
                    answer = grpc_codec.stream_to_wire(future.result(), awaited.form)
                except CancelledError:
                    answer = grpc_codec.stream_to_wire(Cancelled("the request was cancelled"), id=awaited.id)
                except SonicError as error:
                    answer = grpc_codec.stream_to_wire(error, id=awaited.id)
                room.release()
                yield answer
        finally:
            room.release(_MAX_STREAMED)  # the reader waits no more for room, and ends with the call

    def _check_size(self, data: bytes) -> None:
        if len(data) > self._max_bytes:  # grpc looks at the size before it decompresses
            raise InvalidRequest(f"a message holds at most {self._max_bytes} bytes, given {len(data)}")

    def _accept(self, data: bytes, regions: PeerRegions, client: str) -> _Awaited:
        try:
            if self._guard is not None:
                self._guard.count(client)
            self._check_size(data)
            request, form = grpc_codec.request_from_wire(data, regions)
        except InferenceError as error:
            return _Awaited(failed(error), PLAIN, grpc_codec.id_from_wire(data))
        return _Awaited(self._dataplane.infer(request, inline=False), form, request.id)

    def server_live(self, _: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=self._dataplane.live())

    def server_ready(self, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._dataplane.ready())

    def model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=self._dataplane.model_ready(request.name, request.version))

    def server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return grpc_codec.server_info_to_wire(self._dataplane.server_info())

    def model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        spec = self._dataplane.model_spec(request.name, request.version)
        return grpc_codec.spec_to_wire(spec, self._dataplane.model_versions(request.name))

    def model_config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        return pb.ModelConfigResponse(config=self._dataplane.model_config(request.name, request.version))

    def model_statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        return grpc_codec.statistics_to_wire(self._dataplane.statistics(request.name, request.version))

    def repository_index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        return grpc_codec.index_to_wire(self._dataplane.index(ready=request.ready))

    def load(self, request: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        self._dataplane.load(request.model_name, _choices(request.parameters))
        return pb.RepositoryModelLoadResponse()

    def unload(self, request: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        self._dataplane.unload(request.model_name, _choices(request.parameters))
        return pb.RepositoryModelUnloadResponse()


def _choices(parameters: Mapping[str, Any]) -> dict[str, Any]:
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: getattr(value, choice) if choice else None for name, value, choice in chosen}


def _with_deadline(request: InferRequest, context: grpc.ServicerContext) -> InferRequest:
    """Let the call's own deadline count where it is the earlier one."""
    left_s = context.time_remaining()
    if left_s is None or (request.timeout_s is not None and request.timeout_s <= left_s):
        return request
    return replace(request, timeout_s=left_s)


def peer_address(peer: str) -> str:
    """Address in what grpc says of a peer (``ipv4:127.0.0.1:4711``, ``ipv6:%5B::1%5D:4711``); empty if it has none."""
    family, _, address = peer.partition(":")
    return unquote(address.rpartition(":")[0]).strip("[]") if family in ("ipv4", "ipv6") else ""


def _identify(guard: Guard, context: grpc.ServicerContext) -> str:
    given = dict(context.invocation_metadata()).get("authorization")
    return guard.identify(peer_address(context.peer()), given if isinstance(given, str) else None)


def _serialized(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def _on(pool: ThreadPoolExecutor, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)  # its attributes too, by which grpc knows how to call it
    def called(*given: Any, **named: Any) -> Any:
        return call(*given, **named)

    called.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return called


def _answered(
    call: Callable[..., Any], pool: ThreadPoolExecutor | None = None, guard: Guard | None = None
) -> Callable[..., Any]:
    """Turn errors of a call into gRPC's; with a pool of its own the call takes a request alone."""
    asks_peer = getattr(call, "asks_peer", False)

    def answered(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if guard is not None:
                guard.count(_identify(guard, context))
            if pool is not None:
                return call(request, peer_address(context.peer())) if asks_peer else call(request)
            return call(request, context)
        except CancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "the request was cancelled by its client")
        except SonicError as error:
            context.abort(_CODES[grpc_code(error)], str(error)[:_MAX_DETAILS])
        except Exception as error:
            log.exception("a gRPC call failed for no reason that is known")
            text = f"internal error of the server: {type(error).__name__}: {error}"
            context.abort(_CODES[grpc_code(ModelFailed())], text[:_MAX_DETAILS])

    if pool is not None:
        answered.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return answered
