"""What reads HTTP and HTTP/2, as functions of bytes; see `targets`. In pieces it comes to the same as in one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hpack import Encoder

from fuzz.faults import expect
from sonic.errors import InvalidRequest, Unsupported
from sonic.server.grpc import wire
from sonic.server.http.body import Body, ChunkedBody
from sonic.server.http.head import END, BadMessage, Head, read_head
from sonic.server.http2 import frames
from sonic.server.http2.connection import Connection, Limits
from sonic.server.http2.frames import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.server.http2.stream import Stream

_MAX_BYTES = 1 << 12
_LIMITS = Limits(streams=8, window_bytes=1 << 10, frame_bytes=1 << 14, header_bytes=1 << 10, resets=4)
_ANSWER = [b"answer" * 20]
_REFUSAL = wire.failure(InvalidRequest("no"), opened=False)


class _Receiver:
    """Answers every call, once its messages are there. It lets no client send more than at first."""

    def __init__(self) -> None:
        self.connection: Connection[wire.Head]
        self._inboxes: dict[int, wire.Inbox] = {}
        self._faults: set[int] = set()

    def opened(self, stream: Stream, head: wire.Head) -> None:
        self._inboxes[stream.id] = wire.Inbox(_MAX_BYTES, head.encoding)
        if stream.ended:
            self._answer(stream)

    def received(self, stream: Stream, parts: Sequence[memoryview]) -> None:
        inbox = self._inboxes[stream.id]
        try:
            if stream.id not in self._faults:
                for message in inbox.feed(parts):
                    message.content()
        except (InvalidRequest, Unsupported):  # of several faults which one is met first depends on the pieces
            self._faults.add(stream.id)
        if stream.ended:
            self._answer(stream)

    def reset(self, stream: Stream) -> None:
        self._inboxes.pop(stream.id, None)  # not there if the answer waited to be sent

    def _answer(self, stream: Stream) -> None:
        del self._inboxes[stream.id]
        if stream.id in self._faults:
            self.connection.send_headers(stream, _REFUSAL, last=True)
            return
        self.connection.send_headers(stream, wire.OPENING)
        self.connection.send(stream, _ANSWER, wire.DONE)


def http2(data: bytes) -> None:
    """Read what comes by a connection of gRPC; the first byte is the size of the pieces that it comes in."""
    if not data:
        return
    whole, pieces = _converse(data[1:], len(data)), _converse(data[1:], data[0] + 1)
    expect(whole == pieces, f"in one piece the answer is {whole!r}, in several {pieces!r}")


def _converse(data: bytes, size: int) -> bytes:
    receiver = _Receiver()
    connection = receiver.connection = Connection(receiver, wire.read_head, _LIMITS)
    for start in range(0, len(data), size):
        connection.receive(memoryview(data)[start : start + size])
    expect(len(connection.streams) <= _LIMITS.streams, "more streams than are allowed")
    connection.close()
    expect(not connection.streams, "streams outlive their connection")
    return b"".join(connection.out)


def http_head(data: bytes) -> None:
    """Read the head of a request."""
    with suppress(BadMessage):
        head = read_head(data.partition(END)[0] + END)
        expect(isinstance(head, Head) and head.length >= 0, "no head")
        expect(head.get(b"content-length") == "" or not head.chunked, "a body of two lengths")
        head.path.encode(errors="surrogatepass")


def http_body(data: bytes) -> None:
    """Read a body, of the length that the first two bytes say and in chunks; the third is the size of the pieces."""
    if len(data) < 3:
        return
    length, size, content = int.from_bytes(data[:2], "little") % 5000, data[2] + 1, data[3:]
    body = Body(length + 1, data[2])
    given = [bytes(body.content()[: _feed(body.take, content, piece)]) for piece in (size,)]
    expect(given[0] == content[: length + 1], "not the bytes that came")
    found = []
    for piece in (len(content) or 1, size):
        chunks = ChunkedBody(_MAX_BYTES)
        try:
            taken = _feed(chunks.take, content, piece)
            found.append((taken, chunks.complete, bytes(chunks.content())))
        except BadMessage as error:
            found.append((0, False, str(error).encode()))
        expect(chunks.received <= _MAX_BYTES, "more than it may hold")
    expect(found[0] == found[1], f"in one piece {found[0]}, in several {found[1]}")


def _feed(take: Callable[[bytes, int, int], int], content: bytes, size: int) -> int:
    """Return how much was taken."""
    start = 0
    while start < len(content):
        stop = min(len(content), start + size)
        taken = take(content, start, stop)
        if taken < stop:
            return taken
        start = stop
    return start


# ---- what they begin with -------------------------------------------------------------------------------------------


def http2_seeds() -> list[bytes]:
    """Conversations of a client that means well, and of one that nearly does."""
    fields = [(":method", "POST"), (":path", "/inference.GRPCInferenceService/ModelInfer"), (":scheme", "http")]
    fields += [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "5S"),
        ("grpc-encoding", "gzip"),
    ]
    block = bytes(Encoder().encode(fields))
    begin = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 50, frames.MAX_FRAME_SIZE: 16_384})
    message = wire.prefix(4) + b"abcd"
    call = frame(frames.HEADERS, frames.END_HEADERS, 1, block) + frame(frames.DATA, frames.END_STREAM, 1, message)
    parts = frame(frames.HEADERS, 0, 3, block[:9]) + frame(frames.CONTINUATION, frames.END_HEADERS, 3, block[9:])
    padded = frame(frames.DATA, frames.PADDED | frames.END_STREAM, 3, b"\2" + message + b"\0\0")
    other = (
        frames.window_update(0, 100)
        + frames.window_update(1, 200)
        + frames.reset(1, frames.Error.CANCEL)
        + frame(frames.PING, 0, 0, bytes(8))
        + frames.SETTINGS_ACK
        + frames.goaway(1, frames.Error.NO_ERROR)
    )
    return [
        bytes([size]) + begin + rest for size in (0, 7, 255) for rest in (call, parts + padded, call + other, other)
    ]


def http_head_seeds() -> list[bytes]:
    """Heads."""
    return [
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n",
        b"GET /v2?a=b HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n",
        b"POST http://a:1/%2e%2e/%00 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    ]


def http_body_seeds() -> list[bytes]:
    """Bodies."""
    return [
        b"\x0b\x00\x02" + b"4\r\nabcd\r\n0\r\n\r\n",
        b"\x0b\x00\x09" + b"A;x=1\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        b"\xff\x01\xff",
    ]


WIRES = {
    "http2": (http2, http2_seeds),
    "http_head": (http_head, http_head_seeds),
    "http_body": (http_body, http_body_seeds),
}
"""Reader and seeds by name."""
