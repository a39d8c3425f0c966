"""Lines over gRPC: as much of HTTP/2 as a client needs that has one request under way on a connection.

The server is told to keep no table of headers, so that what a block of headers says depends on its bytes alone, and is
decoded once. Sources: RFC 9113 (frames, flow control), RFC 7541, gRPC over HTTP2.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hpack import Decoder, Encoder, HPACKError

from sonic.errors import InferenceError
from sonic.protocol import grpc_codec, status
from sonic.server.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_FRAME,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    frame,
    read_long,
    read_settings,
    settings,
    window_update,
)
from sonic.study.load.sockets import SocketLine, SocketLines

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from sonic.client.url import Address
    from sonic.protocol.messages import InferRequest

_PREFIX = Struct(">BI")  # of a message: not compressed, and its length

_HEADER_TABLE_SIZE = 1  # the setting that a server does not look at
_LARGEST_STREAM = (1 << 31) - 1
_REFILL_BYTES = 1 << 30

_GREETING = (
    PREFACE
    # No table of headers, no pushes, and answers as large as they like without a word from here.
    + settings({_HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: MAX_WINDOW})
    + window_update(0, MAX_WINDOW - DEFAULT_WINDOW)
)


class GrpcLines(SocketLines):
    """See :class:`~sonic.study.load.sockets.SocketLines`.

    Parameters
    ----------
    address : Address
    requests : sequence of InferRequest
    loop : asyncio.AbstractEventLoop
    """

    def __init__(self, address: Address, requests: Sequence[InferRequest], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(address, loop)
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/inference.GRPCInferenceService/ModelInfer",
            ":authority": self.authority,
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "sonic-study",
        }
        if self.authorization:
            headers["authorization"] = self.authorization
        # Marked so that the server's table, whatever its size, plays no part.
        self.headers = bytes(Encoder().encode([(name, value, True) for name, value in headers.items()]))
        wires = (grpc_codec.request_to_wire(request) for request in requests)
        self.messages = [_PREFIX.pack(0, len(wire)) + wire for wire in wires]
        self._errors: dict[bytes, str] = {}
        self._tensor_bytes: dict[int, int] = {}

    def line(self) -> SocketLine:
        """Return another line."""
        return _GrpcLine(self)

    def error(self, block: bytes) -> str:
        """Return the error that a block of headers tells; empty if it tells none.

        Raises
        ------
        HPACKError
            If it cannot be decoded.
        """
        error = self._errors.get(block)
        if error is None:
            told = {str(name): str(value) for name, value in Decoder().decode(block)}
            error = ""
            if told.get(":status", "200") != "200":
                error = f"{self.url}: answers with HTTP status {told[':status']}"
            elif (code := told.get("grpc-status", "0")) != "0":
                error = str(
                    status.from_grpc(int(code) if code.isdecimal() else 2, unquote(told.get("grpc-message", "")))
                )
            if len(self._errors) < 1000:
                self._errors[block] = error
        return error

    def knows(self, message_bytes: int) -> bool:
        """Whether it is known how much of an answer of this size is tensors."""
        return message_bytes in self._tensor_bytes

    def received(self, message_bytes: int, message: bytes = b"") -> int:
        """Return how many bytes of an answer are tensors: by its size, as the first of that size is decoded.

        Raises
        ------
        InferenceError
            If it cannot be.
        """
        if message_bytes not in self._tensor_bytes:
            outputs = grpc_codec.response_from_wire(message).outputs
            self._tensor_bytes[message_bytes] = sum(array.nbytes for array in outputs.values())
        return self._tensor_bytes[message_bytes]


class _GrpcLine(SocketLine):
    _lines: GrpcLines

    def opened(self, transport: asyncio.Transport) -> None:
        transport.write(_GREETING)
        self._stream = -1
        # How much the server has room for: of the connection, of this request, and of a new one.
        self._window = self._room = self._initial = DEFAULT_WINDOW
        self._rest = b""
        self._taken = 0
        self._last = self._going = False
        self._unsent = memoryview(b"")

    def write(self, transport: asyncio.Transport, number: int) -> None:
        self._stream += 2
        self._room = self._initial
        self._answer_bytes = 0
        self._answer: list[bytes] = []
        self._block = b""
        self._error = ""
        self._unsent = memoryview(self._lines.messages[number])
        self._pump(transport, [frame(HEADERS, END_HEADERS, self._stream, self._lines.headers)])

    def _pump(self, transport: asyncio.Transport, parts: list[bytes | memoryview]) -> None:
        """Write as much of the message as the server has room for."""
        left = self._unsent
        while left:
            size = min(DEFAULT_FRAME, self._room, self._window, len(left))
            if size <= 0:
                break
            flags = END_STREAM if size == len(left) else 0
            parts += (HEAD.pack(size >> 8, size & 255, DATA, flags, self._stream), left[:size])
            left = left[size:]
            self._room -= size
            self._window -= size
        self._unsent = left
        if parts:
            transport.write(b"".join(parts))

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:  # it was given up
            return
        try:
            ended = self._read(transport, self._rest + data if self._rest else data)
        except (IndexError, struct.error):  # shorter than their kind is
            self.fail("what came is no HTTP/2")
            return
        if ended:
            self._answered(transport)

    def _read(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Read frames; return whether the answer has ended."""
        at, end = 0, len(data)
        ended = False
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            stop = at + HEAD_BYTES + (high << 8 | low)
            if stop > end:
                break
            payload = data[at + HEAD_BYTES : stop]
            at = stop
            if kind == DATA and stream == self._stream:
                ended = self._take(payload, flags) or ended
            elif kind in (HEADERS, CONTINUATION) and stream == self._stream:
                ended = self._read_headers(payload, kind, flags) or ended
            else:
                ended = self._control(transport, kind, flags, stream, payload) or ended
        self._rest = data[at:]
        return ended

    def _take(self, payload: bytes, flags: int) -> bool:
        """Take a part of the message; return whether the answer ends with it, as it must not."""
        self._taken += len(payload)
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        self._answer_bytes += len(payload)
        self._answer.append(payload)
        if flags & END_STREAM:
            self._error = f"{self._lines.url}: the answer has no status"
        return bool(flags & END_STREAM)

    def _read_headers(self, payload: bytes, kind: int, flags: int) -> bool:
        """Read a part of a block of headers; return whether the answer ends with it."""
        if kind == HEADERS:
            self._last = bool(flags & END_STREAM)
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & HAS_PRIORITY:
                payload = payload[5:]
        block = self._block + payload if self._block else payload
        if not flags & END_HEADERS:
            self._block = block
            return False
        self._block = b""
        try:
            self._error = self._error or self._lines.error(block)
        except HPACKError as error:
            self._error = f"{self._lines.url}: headers that cannot be read: {error}"
        return self._last

    def _control(self, transport: asyncio.Transport, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        """Do what a frame of the connection says; return whether the answer ends with it."""
        if kind == SETTINGS and not flags & ACK:
            for name, value in read_settings(payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._room += value - self._initial
                    self._initial = value
            transport.write(SETTINGS_ACK)
            self._pump(transport, [])
        elif kind == WINDOW_UPDATE:
            more = read_long(payload)
            if stream == 0:
                self._window += more
            elif stream == self._stream:
                self._room += more
            self._pump(transport, [])
        elif kind == PING and not flags & ACK:
            transport.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM and stream == self._stream:
            self._error = f"{self._lines.url}: the server reset the request, with code {read_long(payload)}"
            return True
        elif kind == GOAWAY:
            self._going = True
            if self._done is None:
                transport.close()
        return False

    def _answered(self, transport: asyncio.Transport) -> None:
        lines = self._lines
        received, error = 0, self._error
        if not error:
            try:
                message = b"" if lines.knows(self._answer_bytes) else b"".join(self._answer)[5:]
                received = lines.received(self._answer_bytes, message)
            except InferenceError as failure:
                error = str(failure)
        self._answer.clear()
        if self._taken > _REFILL_BYTES:
            transport.write(window_update(0, self._taken))
            self._taken = 0
        if self._going or self._unsent or self._stream > _LARGEST_STREAM - 4:
            transport.close()
        self.end(error, received)
