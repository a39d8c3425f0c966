"""A server without a process: it really maps shared memory, and can be told to refuse, to forget and to lie."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sonic.errors import InferenceError
from sonic.protocol import grpc_codec, status
from sonic.protocol.messages import InferResponse
from sonic.server.sharedmemory import SharedMemory
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    import numpy as np

    from sonic.protocol.form import Placement
    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec

    Answer = Callable[[InferRequest], Mapping[str, np.ndarray[Any, Any]]]


class Arrived:
    """A request that has arrived at a :class:`FakeMemoryServer`, which reads and answers it when the test says so.

    Attributes
    ----------
    placement : Placement or None
        Where its tensors are; None if it came over the wire.
    future : Future of InferResponse
        What its sender waits for.
    """

    def __init__(self, server: FakeMemoryServer, request: InferRequest, placement: Placement | None) -> None:
        self._server = server
        self._message = grpc_codec.request_to_wire(request, placement)
        self.placement = placement
        self.future: Future[InferResponse] = Future()

    def read(self) -> InferRequest:
        """Return the request as it reads now."""
        return grpc_codec.request_from_wire(self._message, self._server.memory)[0]

    def answer(self) -> None:
        """Read it, answer it and end its future, as a server and a transport do together."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            request, form = grpc_codec.request_from_wire(self._message, self._server.memory)
            outputs = self._server.outputs(request)
            message = grpc_codec.response_to_wire(InferResponse(request.model, "1", outputs, request.id), form)
        except InferenceError as error:
            self.future.set_exception(status.from_grpc(status.grpc_code(error), str(error)))
            return
        try:
            regions = None if self.placement is None else self.placement.regions
            self.future.set_result(grpc_codec.response_from_wire(message, regions))
        except InferenceError as error:
            self.future.set_exception(error)

    def fail(self, error: InferenceError) -> None:
        """End it with an error."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class FakeMemoryServer(FakeTransport):
    """A transport that can place tensors in shared memory, and the server behind it.

    Parameters
    ----------
    specs : iterable of ModelSpec
        The models that it has.
    answer : callable
        Outputs for a request.
    url : str
        A name, distinct among the transports of a client.

    Attributes
    ----------
    memory : SharedMemory
        What is registered; ``memory.unregister()`` makes it forget, as a server does that was started anew.
    arrived : list of Arrived
        What was submitted, in order.
    waiting : queue of Arrived
        While `holding`, what waits for the test.
    refusal : InferenceError or None
        While set, what registering ends in.
    lying : bool
        Whether it says that it has registered what it has not.
    registered, unregistered : list of str
        The names it was given, in order.
    """

    def __init__(self, specs: Iterable[ModelSpec], answer: Answer, url: str = "fake:a") -> None:
        super().__init__(specs, answer, url)
        self.outputs = answer
        self.memory = SharedMemory()
        self.arrived: list[Arrived] = []
        self.waiting: SimpleQueue[Arrived] = SimpleQueue()
        self.refusal: InferenceError | None = None
        self.lying = False
        self.registered: list[str] = []
        self.unregistered: list[str] = []

    def submit(self, request: InferRequest, placement: Placement | None = None) -> Future[InferResponse]:
        """Answer at once, or, while `holding`, when the test says."""
        arrived = Arrived(self, request, placement)
        self.arrived.append(arrived)
        if self.down is not None:
            arrived.fail(self.down)
        elif self.holding:
            self.waiting.put(arrived)
        else:
            arrived.answer()
        return arrived.future

    def register(self, name: str, key: str, byte_size: int, timeout_s: float | None = None) -> None:  # noqa: ARG002
        """Map shared memory, or refuse to."""
        self.registered.append(name)
        failure = self.down or self.refusal
        if failure is not None:
            raise failure
        if not self.lying:
            self.memory.register(name, key, 0, byte_size)

    def unregister(self, name: str, timeout_s: float | None = None) -> None:  # noqa: ARG002
        """Forget it."""
        if self.down is not None:
            raise self.down
        self.unregistered.append(name)
        self.memory.unregister(name)
