"""Every call that asks or commands and does not infer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.errors import Unsupported
from sonic.protocol import records
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.server.grpc.unary import Method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.server.dataplane import Dataplane


class Questions:
    """What can be asked of a server, and what it can be told, in the protocol's messages."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    def probes(self) -> Mapping[str, Method]:
        """Return the methods that need no token and are answered at once, by name."""
        return {
            "ServerLive": Method(self.live, pb.ServerLiveRequest),
            "ServerReady": Method(self.ready, pb.ServerReadyRequest),
        }

    def methods(self) -> Mapping[str, Method]:
        """Return the others, by name."""
        return {
            "ModelReady": Method(self.model_ready, pb.ModelReadyRequest),
            "ServerMetadata": Method(self.server_metadata, pb.ServerMetadataRequest),
            "ModelMetadata": Method(self.model_metadata, pb.ModelMetadataRequest),
            "ModelConfig": Method(self.model_config, pb.ModelConfigRequest),
            "ModelStatistics": Method(self.model_statistics, pb.ModelStatisticsRequest),
            "RepositoryIndex": Method(self.repository_index, pb.RepositoryIndexRequest),
        }

    def commands(self) -> Mapping[str, Method]:
        """Return those that may take their time, by name."""
        return {
            "RepositoryModelLoad": Method(self.load, pb.RepositoryModelLoadRequest),
            "RepositoryModelUnload": Method(self.unload, pb.RepositoryModelUnloadRequest),
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
