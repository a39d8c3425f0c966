"""Tensors through shared memory, for a server on the same host: chosen by itself, given up by itself.

A request waits for nothing here. One that finds no region for it goes over the wire, and has a region made and
registered meanwhile for those that come after it; so there are as many regions as requests were under way at once.
What a server refuses of a request in shared memory is sent once more, over the wire.

A region belongs to one server, and holds one request at a time: a hedge, or a retry elsewhere, has a region of its
own. It is used again when its answer has come. After any other end nobody knows whether the server still reads from
it or is yet to write to it, and it is given up: removed from the system, and unregistered.

Copies of a tensor: one into the region; one out of it. That there is none on the way is what is gained.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from msgspec.structs import replace

from sonic.client.lender import Lender
from sonic.client.locality import on_this_host
from sonic.client.outputsizes import OutputSizes, kind_of
from sonic.client.promise import Promise, failure_of
from sonic.client.regions import layout
from sonic.client.segments import available
from sonic.client.transport import Transport
from sonic.errors import Cancelled, InvalidRequest, ModelNotFound, RegionNotFound, Unsupported
from sonic.protocol import tensors
from sonic.protocol.form import Placement, Span
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from sonic.client.lender import Lease
    from sonic.client.outputsizes import Kind
    from sonic.client.regions import MemoryUse
    from sonic.client.settings import ClientSettings
    from sonic.client.url import Address
    from sonic.protocol.messages import InferRequest, InferResponse, ModelStatistics, ModelStatus
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.protocol.tensors import Buffer
    from sonic.specs import ModelSpec

    Begun = tuple[Future[InferResponse], Callable[[], object] | None]

_REFUSALS = (InvalidRequest, ModelNotFound, Unsupported)
"""Errors in which a server, of whatever make, says that it does not take what it was sent; it is done with it."""


@runtime_checkable
class PlacingTransport(Transport, Protocol):
    """A transport that can name shared memory in its messages, and have the server map it."""

    def submit(self, request: InferRequest, placement: Placement | None = None) -> Future[InferResponse]:
        """Send a request, of which some tensors are, or are to be put, in shared memory."""

    def register(self, name: str, key: str, byte_size: int, timeout_s: float | None = None) -> None:
        """Have the server map shared memory under a name."""

    def unregister(self, name: str, timeout_s: float | None = None) -> None:
        """Have the server forget it."""


def share(transport: Transport, address: Address, settings: ClientSettings) -> Transport:
    """Have a transport use shared memory where it can, as the settings say."""
    if settings.shared_memory == "never" or not isinstance(transport, PlacingTransport) or not available():
        return transport
    always = settings.shared_memory == "always"
    near = partial(on_this_host, address.scheme, address.where)
    lender = Lender(transport, (lambda: True) if always else near, settings.shared_memory_max_bytes)
    return SharedMemoryTransport(transport, lender, 1 if always else settings.shared_memory_min_bytes)


@runtime_checkable
class PlacingWaitingTransport(Protocol):
    """Such a transport that is a :class:`~sonic.client.transport.WaitingTransport` besides."""

    def begin(self, request: InferRequest, placement: Placement | None = None) -> Begun:
        """Send a request for somebody who waits, some tensors of it in shared memory."""


class Loan:
    """The place of a request and of its answer in a region. It is what the codec reads outputs from.

    Parameters
    ----------
    lease : Lease
    inputs, outputs : mapping of str to (int, int)
        Offset and bytes of each tensor, as :func:`sonic.client.regions.layout` gives them.
    """

    def __init__(
        self, lease: Lease, inputs: Mapping[str, tuple[int, int]], outputs: Mapping[str, tuple[int, int]]
    ) -> None:
        self.lease = lease
        self._outputs = dict(outputs.values())
        name = lease.region.name
        self.placement = Placement(
            {tensor: Span(name, *span) for tensor, span in inputs.items()},
            {tensor: Span(name, *span) for tensor, span in outputs.items()},
            self,
        )

    def fill(self, request: InferRequest, texts: Mapping[str, Buffer]) -> None:
        """Copy inputs to their places: once, whatever their layout in memory.

        Raises
        ------
        InvalidRequest
            If an array cannot be of its datatype.
        """
        for name, span in self.placement.inputs.items():
            array, dtype = request.inputs[name], request.dtype(name)
            place = self.lease.segment.memory[span.offset : span.offset + span.byte_size]
            if array.dtype.newbyteorder("=") == dtype.numpy and dtype not in (DType.BF16, DType.BYTES):
                np.copyto(place.view(dtype.numpy.newbyteorder("<")).reshape(array.shape), array)
            elif span.byte_size:
                content = texts.get(name) or tensors.to_wire(array, dtype)
                np.copyto(place, np.frombuffer(content, np.uint8))

    def view(self, span: Span) -> memoryview:
        """Return a copy of an output.

        Raises
        ------
        RegionNotFound
            If no output was to be put there.
        """
        if span.region != self.lease.region.name or span.byte_size > self._outputs.get(span.offset, -1):
            raise RegionNotFound(f"an output is said to be in {span}, where none was asked for")
        return self.lease.segment.memory[span.offset : span.offset + span.byte_size].copy().data


class SharedMemoryTransport:
    """Another transport, with tensors in shared memory where that pays; see :class:`~sonic.client.transport.Transport`.

    Parameters
    ----------
    inner : PlacingTransport
        The way to the server. It is closed with this.
    lender : Lender
        Of regions registered with that server.
    min_bytes : int
        Inputs and expected outputs together, from which on they are put there.
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(
        self, inner: PlacingTransport, lender: Lender, min_bytes: int, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._inner = inner
        self._waiting = inner if isinstance(inner, PlacingWaitingTransport) else None
        self._lender = lender
        self._min_bytes = min_bytes
        self._clock = clock
        self._sizes = OutputSizes()
        self._lock = Lock()
        # By model, the largest inputs that were too small for memory together with their outputs: for those that are
        # no larger, nothing is looked up, which is most of what this costs a small request.
        self._small: dict[str, int] = {}
        self._unsent: set[Promise[InferResponse]] = set()

    @property
    def url(self) -> str:
        """Scheme and address, for messages."""
        return self._inner.url

    @property
    def memory_use(self) -> MemoryUse:
        """What became of the requests, and what memory there is."""
        return self._lender.use()

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Send a request and return at once; an error is in the future."""
        byte_size = 0
        for array in request.inputs.values():
            byte_size += array.nbytes
        if self._is_small(request.model, byte_size):
            return self._inner.submit(request)
        return self._place(request, byte_size, lambda *what: (self._inner.submit(*what), None))[0]

    def begin(self, request: InferRequest) -> Begun:
        """Send a request for somebody who waits; see :class:`~sonic.client.transport.WaitingTransport`."""
        if self._waiting is None:
            return self.submit(request), None
        byte_size = 0
        for array in request.inputs.values():
            byte_size += array.nbytes
        if self._is_small(request.model, byte_size):
            return self._waiting.begin(request)
        return self._place(request, byte_size, self._waiting.begin)

    def _place(self, request: InferRequest, byte_size: int, send: Callable[..., Begun]) -> Begun:
        kind = kind_of(request)
        with self._lock:
            known = self._sizes.of(kind)
        expected = {} if known is None or request.classes else {name: n for name, n in known.items() if n}
        loan = self._lend(request, expected) if byte_size + sum(expected.values()) >= self._min_bytes else None
        if loan is None:
            sent, bring = send(request)
            sent.add_done_callback(partial(self._learn, kind, byte_size))
            return sent, bring
        until_s = None if request.timeout_s is None else self._clock() + request.timeout_s
        promise: Promise[InferResponse] = Promise()
        asked = replace(request, outputs=tuple(known)) if expected and known else request
        try:
            sent, bring = send(asked, loan.placement)
        except BaseException:
            self._lender.give_up(loan.lease)
            raise
        promise.cancels(sent)
        sent.add_done_callback(partial(self._ended, request, kind, until_s, loan.lease, promise))
        return promise, bring

    def _is_small(self, model: str, byte_size: int) -> bool:
        return byte_size <= self._small.get(model, -1) or not self._lender.usable

    def _lend(self, request: InferRequest, expected: Mapping[str, int]) -> Loan | None:
        texts: dict[str, Buffer] = {}
        sizes: dict[str, int] = {}
        lease: Lease | None = None
        try:
            for name, array in request.inputs.items():
                dtype = request.dtype(name)
                if dtype.wire_size is None:
                    texts[name] = tensors.to_wire(array, dtype)
                    sizes[name] = len(texts[name])
                else:
                    sizes[name] = array.size * dtype.wire_size
            inputs, end = layout(sizes.items())
            outputs, end = layout(expected.items(), end)
            lease = self._lender.take(end) if end else None
            if lease is None:
                return None
            loan = Loan(lease, inputs, outputs)
            loan.fill(request, texts)
        except BaseException as error:
            if lease is not None:  # which the server has not been told of
                self._lender.give_back(lease, answered=False)
            if isinstance(error, InvalidRequest):  # which the wire says as well
                return None
            raise
        return loan

    def _ended(
        self,
        request: InferRequest,
        kind: Kind,
        until_s: float | None,
        lease: Lease,
        promise: Promise[InferResponse],
        sent: Future[InferResponse],
    ) -> None:
        error = failure_of(sent)
        if error is None:
            with self._lock:
                self._sizes.learn(kind, sent.result())
            self._lender.give_back(lease, answered=True)
            promise.resolve(sent.result())
            return
        misplaced = isinstance(error.__cause__, RegionNotFound)  # an output that is not where it was asked for
        if not misplaced and not isinstance(error, _REFUSALS):
            self._lender.give_up(lease)
            promise.reject(error)
            return
        named = isinstance(error, ModelNotFound) and lease.region.name in str(error)
        forgotten = misplaced or named or isinstance(error, Unsupported)
        if forgotten:
            self._lender.refused(lease, str(error), forgotten=True)
        self._lender.give_back(lease, answered=False)

        def again() -> None:
            left_s = None if until_s is None else max(until_s - self._clock(), 0.0)
            promise.follow(self._inner.submit(replace(request, timeout_s=left_s)), convert)

        def convert(response: InferResponse) -> InferResponse:
            with self._lock:
                self._sizes.learn(kind, response)
            if not forgotten:  # and yet the wire brings it where memory does not
                self._lender.refused(lease, str(error), forgotten=False)
            return response

        self._once_more(again, promise)

    def _once_more(self, again: Callable[[], object], promise: Promise[InferResponse]) -> None:
        self._unsent.add(promise)
        promise.on_end(self._unsent.discard)
        # Not here: this may be the thread that brings the answers of a connection.
        if not self._lender.run(again):
            promise.reject(Cancelled(f"{self.url}: the connection is closed"))

    def _learn(self, kind: Kind, byte_size: int, sent: Future[InferResponse]) -> None:
        if failure_of(sent) is not None:
            return
        outputs = sent.result().outputs.values()
        with self._lock:
            self._sizes.learn(kind, sent.result())
            if byte_size + sum(array.nbytes for array in outputs) < self._min_bytes:
                self._small[kind.model] = max(byte_size, self._small.get(kind.model, -1))

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        """Fetch inputs, outputs and largest batch of a model."""
        return self._inner.model_spec(model, version, timeout_s)

    def model_config(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelConfig:
        """Fetch a model's configuration."""
        return self._inner.model_config(model, version, timeout_s)

    def models(self, timeout_s: float | None = None) -> tuple[ModelStatus, ...]:
        """Every model version that the server knows of."""
        return self._inner.models(timeout_s)

    def statistics(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelStatistics:
        """Counters of a model, all of its clients together."""
        return self._inner.statistics(model, version, timeout_s)

    def ready(self, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests now."""
        return self._inner.ready(timeout_s)

    def close(self) -> None:
        """Release memory and connection. Requests in flight end in Cancelled."""
        self._lender.close()
        self._inner.close()
        for promise in tuple(self._unsent):
            promise.reject(Cancelled(f"{self.url}: the connection was closed"))
