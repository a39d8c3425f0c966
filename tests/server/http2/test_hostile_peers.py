from __future__ import annotations

from typing import TYPE_CHECKING

from hpack import Encoder

from sonic.server.http2 import frames
from sonic.server.http2.connection import Connection

if TYPE_CHECKING:
    from sonic.server.http2.headers import Headers
    from sonic.server.http2.stream import Stream


class Silent:
    def opened(self, stream: Stream, head: Headers) -> None: ...

    def received(self, stream: Stream, data: memoryview) -> None: ...

    def reset(self, stream: Stream) -> None: ...


def connected() -> Connection[Headers]:
    connection = Connection(Silent(), lambda headers: headers)
    connection.receive(memoryview(frames.PREFACE))
    connection.out.clear()
    return connection


def frame(kind: int, flags: int, stream: int, payload: bytes) -> memoryview:
    return memoryview(frames.head(len(payload), kind, flags, stream) + payload)


def test_what_ends_a_connection_says_nothing_of_the_servers_memory() -> None:
    connection = connected()
    connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 40))
    assert connection.over
    said = b"".join(connection.out)
    assert b"headers that cannot be read" in said
    assert b"0x" not in said


def test_of_a_setting_that_is_given_ten_thousand_times_the_last_counts() -> None:
    connection = connected()
    connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 1, bytes(Encoder().encode([("a", "b")]))))
    stream = connection.streams[1]
    looked: list[int] = []
    connection._send_on = lambda stream: looked.append(stream.id)  # type: ignore[method-assign]
    window = frames.settings({frames.INITIAL_WINDOW_SIZE: 7})[frames.HEAD_BYTES :]
    other = frames.settings({frames.INITIAL_WINDOW_SIZE: 9})[frames.HEAD_BYTES :]
    connection.receive(frame(frames.SETTINGS, 0, 0, window * 10_000 + other))
    assert (stream.send_window, looked) == (9, [1])
