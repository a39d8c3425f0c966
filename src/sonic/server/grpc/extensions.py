"""The calls of the protocol's smaller extensions over gRPC: shared memory, traces, logging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.server.sharedmemory import NO_CUDA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sonic.server.dataplane import Dataplane


def extension_calls(dataplane: Dataplane) -> Mapping[str, tuple[Callable[..., Any], Any]]:
    """Return function and type of the request of each method; one whose ``asks_peer`` is true also gets the address."""
    extensions = _Extensions(dataplane)
    return {
        "SystemSharedMemoryStatus": (extensions.memory_status, pb.SystemSharedMemoryStatusRequest),
        "SystemSharedMemoryRegister": (extensions.memory_register, pb.SystemSharedMemoryRegisterRequest),
        "SystemSharedMemoryUnregister": (extensions.memory_unregister, pb.SystemSharedMemoryUnregisterRequest),
        "CudaSharedMemoryStatus": (extensions.cuda_status, pb.CudaSharedMemoryStatusRequest),
        "CudaSharedMemoryRegister": (extensions.cuda_register, pb.CudaSharedMemoryRegisterRequest),
        "CudaSharedMemoryUnregister": (extensions.cuda_unregister, pb.CudaSharedMemoryUnregisterRequest),
        "TraceSetting": (extensions.trace, pb.TraceSettingRequest),
        "LogSettings": (extensions.log, pb.LogSettingsRequest),
    }


def _asks_peer(call: Callable[..., Any]) -> Callable[..., Any]:
    call.asks_peer = True  # type: ignore[attr-defined]
    return call


class _Extensions:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._memory = dataplane.memory

    @_asks_peer
    def memory_status(
        self, request: pb.SystemSharedMemoryStatusRequest, peer: str
    ) -> pb.SystemSharedMemoryStatusResponse:
        self._memory.check_peer(peer)
        response = pb.SystemSharedMemoryStatusResponse()
        for region in self._memory.status(request.name):
            row = response.regions[region.name]
            row.name, row.key, row.offset, row.byte_size = region.name, region.key, region.offset, region.byte_size
        return response

    @_asks_peer
    def memory_register(
        self, request: pb.SystemSharedMemoryRegisterRequest, peer: str
    ) -> pb.SystemSharedMemoryRegisterResponse:
        self._memory.check_peer(peer)
        self._memory.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    @_asks_peer
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
