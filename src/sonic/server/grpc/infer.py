"""ModelInfer and ModelStreamInfer.

Requests are decoded in the thread of the event loop, which also executes models that are known to be short; others
run in the threads of their scheduler. What takes long to decode, a pool of threads decodes.

Copies of a request's tensors: one, out of the buffer that the socket is read into; of a response's: none.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sonic.errors import Cancelled, InferenceError, SonicError
from sonic.protocol import grpc_codec
from sonic.protocol.form import PLAIN
from sonic.protocol.wirecache import RequestReader, ResponseWriter
from sonic.server.failures import failed
from sonic.server.grpc.admission import Admission
from sonic.server.sharedmemory import PeerRegions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonic.protocol.form import Form
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.server.access.guard import Guard
    from sonic.server.dataplane import Dataplane
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Buffer

_LONG_BYTES = 1 << 22
"""Decoding a longer message could keep every other client waiting."""
_MAX_STREAMED = 1024
"""Requests of one stream that are under way; further ones wait in the connection."""
_MAX_QUEUED_BYTES = 1 << 22
"""Answers of one stream that its client has yet to take; then further ones wait."""


class Infer(Admission):
    """Handler of ModelInfer."""

    def __init__(self, dataplane: Dataplane, guard: Guard | None) -> None:
        super().__init__(guard)
        self._dataplane = dataplane
        self._reader = RequestReader()
        self._writer = ResponseWriter()

    def message(self, call: Call, data: Buffer) -> None:
        """Begin a request."""
        if len(data) >= _LONG_BYTES:
            call.aside(self._decode, call, data)
            return
        request, form = self._read(call, data)
        self._follow(call, form, self._dataplane.infer(request, inline=call.call_soon))

    def _decode(self, call: Call, data: Buffer) -> None:
        try:
            request, form = self._read(call, data)
            future = self._dataplane.infer(request, inline=False)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.soon(call.fail, error)
        else:
            call.soon(self._follow, call, form, future)

    def _read(self, call: Call, data: Buffer) -> tuple[InferRequest, Form]:
        peer = call.peer
        request, form = self._reader(data, PeerRegions(self._dataplane.memory, lambda: peer))
        left_s = call.head.timeout_s  # the call's own deadline counts where it is the earlier one
        if left_s is not None and (request.timeout_s is None or request.timeout_s > left_s):
            request = replace(request, timeout_s=left_s)
        return request, form

    def _follow(self, call: Call, form: Form, future: Future[InferResponse]) -> None:
        if future.done():
            _answer(call, *self._encoded(form, future))
            return
        call.on_gone(future.cancel)
        future.add_done_callback(partial(self._ended, call, form))

    def _ended(self, call: Call, form: Form, future: Future[InferResponse]) -> None:
        # Written in the thread that has executed the model: if it is another, the event loop is free meanwhile.
        call.promptly(_answer, call, *self._encoded(form, future))

    def _encoded(self, form: Form, future: Future[InferResponse]) -> tuple[list[Buffer], BaseException | None]:
        try:
            return self._writer(future.result(), form), None
        except CancelledError:
            return [], Cancelled("the request was cancelled by its client")
        except Exception as error:  # noqa: BLE001 - the call ends in it
            return [], error


class StreamInfer:
    """Handler of ModelStreamInfer: answers in the order of the requests, of which many can be under way.

    An error ends only its own request, unless the client has asked, as it can ask Triton, that the first one ends the
    stream, with its code.
    """

    streams = True

    def __init__(self, dataplane: Dataplane, guard: Guard | None) -> None:
        self._dataplane = dataplane
        self._guard = guard
        self._reader = RequestReader()

    def opened(self, call: Call) -> None:
        """Look who it is."""
        client = "" if self._guard is None else self._guard.identify(call.peer, call.head.authorization)
        call.state = _Conversation(self._dataplane, self._guard, client, call, self._reader)

    def message(self, call: Call, data: Buffer) -> None:
        """Begin a request."""
        call.state.accept(call, data)

    def ended(self, call: Call) -> None:
        """End the call after the last answer."""
        call.state.complete = True
        call.state.advance(call)


class _Conversation:
    def __init__(
        self, dataplane: Dataplane, guard: Guard | None, client: str, call: Call, reader: RequestReader
    ) -> None:
        self._dataplane = dataplane
        self._read = reader
        self._guard = guard
        self._client = client
        peer = call.peer
        self._regions = PeerRegions(dataplane.memory, lambda: peer)
        self._pending: deque[tuple[Future[InferResponse], Form, str]] = deque()
        self.complete = False
        call.on_gone(self._give_up)

    def accept(self, call: Call, data: Buffer) -> None:
        if call.over:
            return  # by an error of a request that came together with this one
        future, form, name = self._begin(call, data)
        self._pending.append((future, form, name))
        if len(self._pending) >= _MAX_STREAMED:
            call.hold()
        if future.done():
            self.advance(call)
        else:
            future.add_done_callback(lambda _: call.promptly(self.advance, call))

    def advance(self, call: Call) -> None:
        """Send the answers whose turn it is."""
        call.on_drained(None)
        while self._pending and self._pending[0][0].done() and not call.over:
            if call.queued_bytes > _MAX_QUEUED_BYTES:
                call.on_drained(lambda: call.soon(self.advance, call))
                return
            future, form, name = self._pending.popleft()
            try:
                answer = grpc_codec.stream_to_wire(future.result(), form)
            except CancelledError:
                answer = grpc_codec.stream_to_wire(Cancelled("the request was cancelled"), id=name)
            except SonicError as error:
                if call.head.ends_in_errors:
                    call.fail(error)
                    return
                answer = grpc_codec.stream_to_wire(error, id=name)
            call.send((answer,))
            if len(self._pending) == _MAX_STREAMED // 2:
                call.release()
        if self.complete and not self._pending and not call.over:
            call.finish()

    def _begin(self, call: Call, data: Buffer) -> tuple[Future[InferResponse], Form, str]:
        try:
            if self._guard is not None:
                self._guard.count(self._client)
            request, form = self._read(data, self._regions)
        except InferenceError as error:
            return failed(error), PLAIN, grpc_codec.id_from_wire(data)
        return self._dataplane.infer(request, inline=call.call_soon), form, request.id

    def _give_up(self) -> None:
        for future, _, _ in self._pending:
            future.cancel()


def _answer(call: Call, parts: list[Buffer], error: BaseException | None) -> None:
    if error is not None:
        call.fail(error)
    else:
        call.send(parts, last=True)
