"""Requests whose tensors stay in shared memory."""

from __future__ import annotations

import time
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.proto import grpc_service_pb2 as pb

from .probes import RIGHT, WRONG
from .wire import Failure

if TYPE_CHECKING:
    from .probes import Asker
    from .tally import Tally
    from .wire import GrpcWire

PREFIX = "soak"
_FLOATS = 1 << 18  # 1 MiB


class SharedLane:
    """Registers two regions, uses them some times, and forgets them again.

    Parameters
    ----------
    asker : Asker
    wire : GrpcWire
    pid : int
        Of this process, after which the regions are named: whoever kills it can tidy up.
    """

    def __init__(self, asker: Asker, wire: GrpcWire, pid: int) -> None:
        self._asker = asker
        self._wire = wire
        self._memory = {
            name: SharedMemory(f"{PREFIX}-{pid}-{name}", create=True, size=4 * _FLOATS) for name in ("x", "y")
        }
        self._arrays = {name: np.ndarray(_FLOATS, np.float32, memory.buf) for name, memory in self._memory.items()}

    async def once(self, tally: Tally, times: int = 20) -> None:
        """Register, ask, and unregister."""
        try:
            for memory in self._memory.values():
                await self._wire.register(memory.name, memory.name, 4 * _FLOATS)
            for _ in range(times):
                await self._ask(tally)
            for memory in self._memory.values():
                await self._wire.unregister(memory.name)
        except Failure as failure:
            tally.add("shared memory", "shm", WRONG, f"shared memory: {failure}")

    async def _ask(self, tally: Tally) -> None:
        length = int(self._asker.random.integers(1, _FLOATS + 1))
        self._arrays["x"][:length] = np.arange(length, dtype=np.float32) + np.float32(
            self._asker.random.integers(1 << 22)
        )
        self._arrays["y"][:length] = -1
        message = pb.ModelInferRequest(model_name="copy", id=f"shm-{tally.total}")
        for tensor in (message.inputs.add(name="x", datatype="FP32", shape=[length]), message.outputs.add(name="y")):
            tensor.parameters["shared_memory_region"].string_param = self._memory[tensor.name].name
            tensor.parameters["shared_memory_byte_size"].int64_param = 4 * length
        start_s = time.perf_counter()
        answer = await self._wire.message(message)
        duration_s = time.perf_counter() - start_s
        right = answer.id == message.id and np.array_equal(self._arrays["x"][:length], self._arrays["y"][:length])
        text = "" if right else f"shared memory: {length} numbers came back changed"
        tally.add("shared memory", "shm", RIGHT if right else WRONG, text, duration_s)

    def close(self) -> None:
        """Remove the memory."""
        self._arrays.clear()
        for memory in self._memory.values():
            memory.close()
            memory.unlink()
