"""The calls of the protocol's smaller extensions over gRPC: shared memory, traces, logging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.server.grpc.unary import Method
from sonic.server.sharedmemory import NO_CUDA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.server.dataplane import Dataplane


def extension_methods(dataplane: Dataplane) -> Mapping[str, Method]:
    """Return the methods of the extensions, by name."""
    extensions = _Extensions(dataplane)
    return {
        "SystemSharedMemoryStatus": Method(
            extensions.memory_status, pb.SystemSharedMemoryStatusRequest, asks_peer=True
        ),
        "SystemSharedMemoryRegister": Method(
            extensions.memory_register, pb.SystemSharedMemoryRegisterRequest, asks_peer=True
        ),
        "SystemSharedMemoryUnregister": Method(
            extensions.memory_unregister, pb.SystemSharedMemoryUnregisterRequest, asks_peer=True
        ),
        "CudaSharedMemoryStatus": Method(extensions.cuda_status, pb.CudaSharedMemoryStatusRequest),
        "CudaSharedMemoryRegister": Method(extensions.cuda_register, pb.CudaSharedMemoryRegisterRequest),
        "CudaSharedMemoryUnregister": Method(extensions.cuda_unregister, pb.CudaSharedMemoryUnregisterRequest),
        "TraceSetting": Method(extensions.trace, pb.TraceSettingRequest),
        "LogSettings": Method(extensions.log, pb.LogSettingsRequest),
    }


class _Extensions:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._memory = dataplane.memory

    def memory_status(
        self, request: pb.SystemSharedMemoryStatusRequest, peer: str
    ) -> pb.SystemSharedMemoryStatusResponse:
        self._memory.check_peer(peer)
        response = pb.SystemSharedMemoryStatusResponse()
        for region in self._memory.status(request.name):
            row = response.regions[region.name]
            row.name, row.key, row.offset, row.byte_size = region.name, region.key, region.offset, region.byte_size
        return response

    def memory_register(
        self, request: pb.SystemSharedMemoryRegisterRequest, peer: str
    ) -> pb.SystemSharedMemoryRegisterResponse:
        self._memory.check_peer(peer)
        self._memory.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    def memory_unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, peer: str
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        self._memory.check_peer(peer)
        self._memory.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    # No region of CUDA's is registered ever; to forget all of them is what many clients begin with.
    def cuda_status(self, request: pb.CudaSharedMemoryStatusRequest) -> pb.CudaSharedMemoryStatusResponse:
        if request.name:
            raise Unsupported(NO_CUDA)
        return pb.CudaSharedMemoryStatusResponse()

    def cuda_register(self, _: pb.CudaSharedMemoryRegisterRequest) -> None:
        raise Unsupported(NO_CUDA)

    def cuda_unregister(self, _: pb.CudaSharedMemoryUnregisterRequest) -> pb.CudaSharedMemoryUnregisterResponse:
        return pb.CudaSharedMemoryUnregisterResponse()

    def trace(self, request: pb.TraceSettingRequest) -> pb.TraceSettingResponse:
        # A setting without a value is one to be cleared.
        changes = {name: list(setting.value) or None for name, setting in request.settings.items()}
        response = pb.TraceSettingResponse()
        for name, values in self._dataplane.trace_settings(request.model_name, changes).items():
            response.settings[name].value.extend(values)
        return response

    def log(self, request: pb.LogSettingsRequest) -> pb.LogSettingsResponse:
        changes = {}
        for name, setting in request.settings.items():
            kind = setting.WhichOneof("parameter_choice")
            if kind is None:
                raise InvalidRequest(f"log setting {name} is given without a value")
            changes[name] = getattr(setting, kind)
        response = pb.LogSettingsResponse()
        for name, value in self._dataplane.logs.update(changes).items():
            row = response.settings[name]
            if isinstance(value, bool):
                row.bool_param = value
            elif isinstance(value, int):
                row.uint32_param = value
            else:
                row.string_param = value
        return response
