"""ModelStreamInfer: answers in the order of the requests, of which many can be under way.

What a client sends ahead waits here as bytes until it is begun, and when that is much the client gets no more credit.
A request is begun when there are few enough under way, and the client takes its answers.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from sonic.errors import Cancelled, InferenceError, SonicError
from sonic.protocol import grpc_codec
from sonic.protocol.form import PLAIN
from sonic.protocol.wirecache import RequestReader
from sonic.server.failures import failed
from sonic.server.sharedmemory import PeerRegions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonic.protocol.form import Form
    from sonic.protocol.messages import InferResponse
    from sonic.server.access.guard import Guard
    from sonic.server.dataplane import Dataplane
    from sonic.server.grpc.call import Call
    from sonic.server.grpc.wire import Buffer, Message
    from sonic.server.scheduling.job import Inline

    Begun = tuple[Future[InferResponse], Form, str, str]  # how it is written, and the request's id and model

MOST_UNDER_WAY = 1024
"""Requests of one stream."""
FEWEST_UNDER_WAY = 16
"""So many may be under way however large their answers are; at first, when nobody knows that, no more."""
UNDER_WAY_BYTES = 1 << 26
"""Of answers, where all are as large as the largest so far."""
MAX_QUEUED_BYTES = 1 << 22
"""Of answers of one stream that its client has yet to take; then further ones wait, and nothing is begun."""


class StreamInfer:
    """Handler of ModelStreamInfer.

    An error ends only its own request, unless the client has asked, as it can ask Triton, that the first one ends the
    stream, with its code.
    """

    streams = True

    def __init__(self, dataplane: Dataplane, guard: Guard | None, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._dataplane = dataplane
        self._guard = guard
        self._reader = RequestReader()

    def opened(self, call: Call) -> None:
        """Look who it is."""
        if self._guard is not None:
            self._guard.identify(call.peer, call.head.authorization)
        call.state = _Conversation(self._dataplane, self._guard, call, self._reader)

    def message(self, call: Call, message: Message) -> None:
        """Take a request."""
        call.state.accept(call, message)

    def ended(self, call: Call) -> None:
        """End the call after the last answer."""
        call.state.complete = True
        call.state.advance(call)


class _Conversation:
    def __init__(self, dataplane: Dataplane, guard: Guard | None, call: Call, reader: RequestReader) -> None:
        self._dataplane = dataplane
        self._reader = reader
        self._guard = guard
        self._peer, self._authorization = call.peer, call.head.authorization
        self._regions = PeerRegions(dataplane.memory, call.peer)
        self._waiting: deque[Message] = deque()
        self._pending: deque[Begun] = deque()
        self._decoding = False  # whether another thread makes sense of the message whose turn it is
        self._advancing = False
        self._largest_bytes = 0
        self._most = FEWEST_UNDER_WAY
        self.complete = False
        call.on_gone(self._give_up)

    def accept(self, call: Call, message: Message) -> None:
        """Take a message."""
        self._waiting.append(message)
        self.advance(call)

    def advance(self, call: Call) -> None:
        """Send the answers whose turn it is, begin requests in their place, and end the call after the last one."""
        if self._advancing:
            return  # it is executed further up, by whoever begins a request that is executed at once
        self._advancing = True
        try:
            self._advance(call)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.fail(error)
        finally:
            self._advancing = False

    def _advance(self, call: Call) -> None:
        call.on_drained(None)
        while not call.over:
            if call.queued_bytes > MAX_QUEUED_BYTES:
                call.on_drained(lambda: call.soon(self.advance, call))
                break
            if self._pending and self._pending[0][0].done():
                self._send(call, *self._pending.popleft())
            elif self._waiting and not self._decoding and len(self._pending) < self._most:
                self._begin(call, self._waiting.popleft())
            else:
                break
        if call.over:
            return
        if self._waiting:
            call.hold()
        else:
            call.release()
            call.resting = not self._pending and not self._decoding
            if self.complete and not self._pending and not self._decoding:
                call.finish()

    def _send(self, call: Call, future: Future[InferResponse], form: Form, name: str, model: str) -> None:
        try:
            answer = grpc_codec.stream_to_wire(future.result(), form)
        except CancelledError:
            answer = grpc_codec.stream_to_wire(Cancelled("the request was cancelled"), id=name, model=model)
        except SonicError as error:
            if call.head.ends_in_errors:
                call.fail(error)
                return
            answer = grpc_codec.stream_to_wire(error, id=name, model=model)
        else:
            self._largest_bytes = max(self._largest_bytes, len(answer))
            self._most = min(max(UNDER_WAY_BYTES // self._largest_bytes, FEWEST_UNDER_WAY), MOST_UNDER_WAY)
        call.send((answer,))

    def _begin(self, call: Call, message: Message) -> None:
        if message.compressed or self._reader.lengthy(message.data):
            self._decoding = True
            call.aside(self._decode, call, message)
        else:
            self._follow(call, self._begun(message.data, call.call_soon))

    def _decode(self, call: Call, message: Message) -> None:
        if call.over:
            return
        try:
            begun = self._begun(message.content(), inline=False)
        except Exception as error:  # noqa: BLE001 - the call ends in it
            call.soon(call.fail, error)
        else:
            call.soon(self._decoded, call, begun)

    def _decoded(self, call: Call, begun: Begun) -> None:
        self._decoding = False
        self._follow(call, begun)
        self.advance(call)

    def _begun(self, data: Buffer, inline: Inline) -> Begun:
        try:
            if self._guard is not None:  # a stream may live longer than its client's token
                self._guard.admit(self._peer, self._authorization)
            request, form = self._reader(data, self._regions)
        except InferenceError as error:
            return failed(error), PLAIN, grpc_codec.id_from_wire(data), ""
        return self._dataplane.infer(request, inline=inline), form, request.id, request.model

    def _follow(self, call: Call, begun: Begun) -> None:
        future = begun[0]
        if call.over:
            future.cancel()
            return
        self._pending.append(begun)
        if not future.done():
            future.add_done_callback(lambda _: call.promptly(self.advance, call))

    def _give_up(self) -> None:
        self._waiting.clear()
        for begun in self._pending:
            begun[0].cancel()
