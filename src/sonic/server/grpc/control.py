"""Every call that asks or commands and does not infer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol import records
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.server.grpc.call import Admission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sonic.server.access.guard import Guard
    from sonic.server.dataplane import Dataplane
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Buffer


class Unary(Admission):
    """Handler of a method that takes one message of protobuf and returns one.

    Parameters
    ----------
    function : callable
        Takes the message and, if it has an attribute ``asks_peer``, the address of the client.
    request : type
        Of the message.
    guard : Guard or None
    aside : bool
        Whether the function runs in another thread, and may take its time; else in that of the event loop.
    """

    def __init__(
        self, function: Callable[..., Any], request: Any, guard: Guard | None = None, *, aside: bool = False
    ) -> None:
        super().__init__(guard)
        self._function = function
        self._asks_peer: bool = getattr(function, "asks_peer", False)
        self._request = request
        self._aside = aside

    def message(self, call: Call, data: Buffer) -> None:
        """Answer it."""
        request = parse(self._request, data)
        if self._aside:
            call.aside(self._run_and_tell, call, request, call.peer)
        else:
            self._done(call, self._run(request, call.peer))

    def _run(self, request: Any, peer: str) -> bytes:
        response = self._function(request, peer) if self._asks_peer else self._function(request)
        content: bytes = response.SerializeToString()
        return content

    def _run_and_tell(self, call: Call, request: Any, peer: str) -> None:
        try:
            content = self._run(request, peer)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.soon(call.fail, error)
        else:
            call.soon(self._done, call, content)

    def _done(self, call: Call, content: bytes) -> None:
        call.send((content,), last=True)


def parse(kind: Any, data: Buffer) -> Any:
    """Read a message of protobuf.

    Raises
    ------
    InvalidRequest
        If the bytes are none.
    """
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise InvalidRequest(f"not a {kind.DESCRIPTOR.name}: {error}") from None


class Questions:
    """What can be asked of a server, and what it can be told, in the protocol's messages."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    def probes(self) -> Mapping[str, tuple[Callable[..., Any], Any]]:
        """Return function and type of the request of each method that needs no token and is answered at once."""
        return {"ServerLive": (self.live, pb.ServerLiveRequest), "ServerReady": (self.ready, pb.ServerReadyRequest)}

    def methods(self) -> Mapping[str, tuple[Callable[..., Any], Any]]:
        """Return function and type of the request of each other method."""
        return {
            "ModelReady": (self.model_ready, pb.ModelReadyRequest),
            "ServerMetadata": (self.server_metadata, pb.ServerMetadataRequest),
            "ModelMetadata": (self.model_metadata, pb.ModelMetadataRequest),
            "ModelConfig": (self.model_config, pb.ModelConfigRequest),
            "ModelStatistics": (self.model_statistics, pb.ModelStatisticsRequest),
            "RepositoryIndex": (self.repository_index, pb.RepositoryIndexRequest),
            "RepositoryModelLoad": (self.load, pb.RepositoryModelLoadRequest),
            "RepositoryModelUnload": (self.unload, pb.RepositoryModelUnloadRequest),
        }

    def live(self, _: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        """Say that the server runs."""
        return pb.ServerLiveResponse(live=self._dataplane.live())

    def ready(self, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        """Say whether it takes requests."""
        return pb.ServerReadyResponse(ready=self._dataplane.ready())

    def model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        """Say whether a model does."""
        return pb.ModelReadyResponse(ready=self._dataplane.model_ready(request.name, request.version))

    def server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        """Say what the server is."""
        return records.server_info_to_wire(self._dataplane.server_info())

    def model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        """Say what a model takes and gives."""
        spec = self._dataplane.model_spec(request.name, request.version)
        return records.spec_to_wire(spec, self._dataplane.model_versions(request.name, request.version))

    def model_config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        """Say how a model is served."""
        return pb.ModelConfigResponse(config=self._dataplane.model_config(request.name, request.version))

    def model_statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        """Say what models have done."""
        return records.statistics_to_wire(self._dataplane.statistics(request.name, request.version))

    def repository_index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        """Say which models there are."""
        _check_repository(request)
        return records.index_to_wire(self._dataplane.index(ready=request.ready))

    def load(self, request: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        """Load a model."""
        _check_repository(request)
        self._dataplane.load(request.model_name, _choices(request.parameters))
        return pb.RepositoryModelLoadResponse()

    def unload(self, request: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        """Unload a model."""
        _check_repository(request)
        self._dataplane.unload(request.model_name, _choices(request.parameters))
        return pb.RepositoryModelUnloadResponse()


def _check_repository(request: Any) -> None:
    if request.repository_name:
        raise Unsupported("'repository_name' specification is not supported: models are found in all repositories")


def _choices(parameters: Mapping[str, Any]) -> dict[str, Any]:
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: getattr(value, choice) if choice else None for name, value, choice in chosen}
