"""A way over gRPC to a server of one's own, which loads and unloads models as it is told."""

from __future__ import annotations

from sonic.client.grpc import GrpcTransport
from sonic.errors import InvalidRequest, ModelFailed
from sonic.protocol.proto import grpc_service_pb2 as pb


class ControlledGrpc(GrpcTransport):
    """As :class:`~sonic.client.grpc.GrpcTransport`, with what the model repository's extension offers."""

    def load(self, model: str) -> None:
        """Load a model. Blocks for as long as that takes.

        Raises
        ------
        InferenceError
            If it cannot be loaded, with the cause; Unavailable if the server is gone.
        """
        try:
            self._call(self._stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name=model), None)
        except InvalidRequest as error:  # how a server says that the model is broken
            raise ModelFailed(str(error)) from error

    def unload(self, model: str) -> None:
        """Unload a model, but none that it is made of.

        Raises
        ------
        InferenceError
            If the server is gone.
        """
        self._call(self._stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=model), None)

    def server_name(self, timeout_s: float | None = None) -> str:
        """Ask the server what it calls itself.

        Raises
        ------
        InferenceError
            If it does not answer.
        """
        name: str = self._call(self._stub.ServerMetadata, pb.ServerMetadataRequest(), timeout_s).name
        return name
