from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.server.http2 import Error, Limits, frames, headers
from sonic.server.http2.connection import Connection

if TYPE_CHECKING:
    from sonic.server.http2.headers import Headers
    from sonic.server.http2.stream import Stream


BLOCK = headers.write([(":method", "POST"), (":scheme", "http"), (":path", "/a/b")])


class Silent:
    def opened(self, stream: Stream, head: Headers) -> None: ...

    def received(self, stream: Stream, data: memoryview) -> None: ...

    def reset(self, stream: Stream) -> None: ...


def connected(limits: Limits | None = None) -> Connection[Headers]:
    connection = Connection(Silent(), lambda headers: headers, limits)
    connection.receive(memoryview(frames.PREFACE))
    connection.out.clear()
    return connection


def frame(kind: int, flags: int, stream: int, payload: bytes) -> memoryview:
    return memoryview(frames.frame(kind, flags, stream, payload))


def test_what_ends_a_connection_says_nothing_of_the_servers_memory() -> None:
    connection = connected()
    connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 40))
    assert connection.over
    said = b"".join(connection.out)
    assert b"headers that cannot be read" in said
    assert b"0x" not in said


@pytest.mark.interpreted
def test_of_a_setting_that_is_given_ten_thousand_times_the_last_counts() -> None:
    connection = connected()
    connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK))
    stream = connection.streams[1]
    looked: list[int] = []
    connection._sending._send_on = lambda stream: looked.append(stream.id)  # type: ignore[method-assign]
    window = frames.settings({frames.INITIAL_WINDOW_SIZE: 7})[frames.HEAD_BYTES :]
    other = frames.settings({frames.INITIAL_WINDOW_SIZE: 9})[frames.HEAD_BYTES :]
    connection.receive(frame(frames.SETTINGS, 0, 0, window * 10_000 + other))
    assert (stream.send_window, looked) == (9, [1])


def test_a_window_that_changes_all_the_time_ends_the_connection() -> None:
    changes = b"".join(frames.settings({frames.INITIAL_WINDOW_SIZE: size}) for size in (1, 2)) * 500
    few, many = connected(), connected()
    for connection, streams in ((few, 60), (many, 1000)):
        for number in range(streams):
            connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 2 * number + 1, BLOCK))
        connection.receive(memoryview(changes))
    assert (few.over, len(few.streams)) == (False, 60)
    assert (many.over, many.streams) == (True, {})
    assert b"the window changes all the time" in b"".join(many.out)


def test_a_client_that_is_answered_may_change_its_window() -> None:
    connection = connected()
    for number in range(3000):
        connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 2 * number + 1, BLOCK))
        connection.receive(memoryview(frames.settings({frames.INITIAL_WINDOW_SIZE: 100 + number % 2})))
        if number >= 100:
            connection.send_headers(connection.streams[2 * number - 199], b"", last=True)
    assert (connection.over, len(connection.streams)) == (False, 100)


@pytest.mark.interpreted
@pytest.mark.parametrize(("window", "looked"), [(0, []), (2, [3, 5, 5])])
def test_a_window_that_grows_byte_by_byte_makes_no_work_for_those_it_does_not_serve(
    window: int, looked: list[int]
) -> None:
    connection = connected()
    connection.receive(memoryview(frames.settings({frames.INITIAL_WINDOW_SIZE: window})))
    connection._sending._window = 3  # as it is when others have used it up
    for number in range(3):
        connection.receive(frame(frames.HEADERS, frames.END_HEADERS, 2 * number + 1, BLOCK))
        connection.send(connection.streams[2 * number + 1], (b"abc",))
    send_on, looks = connection._sending._send_on, []
    connection._sending._send_on = lambda stream: (looks.append(stream.id), send_on(stream))  # type: ignore[assignment,func-returns-value]
    for _ in range(3):
        connection.receive(memoryview(frames.window_update(0, 1)))
    assert looks == looked


@pytest.mark.parametrize(
    "fault",
    [
        frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        frame(frames.PRIORITY, 0, 0, b"four"),
        frame(frames.HEADERS, frames.END_HEADERS, 0, BLOCK),
        frame(frames.DATA, 0, 0, b"more than it may send"),
    ],
)
def test_streams_that_are_opened_only_to_be_given_up_by_the_server(fault: memoryview) -> None:
    connection = connected(Limits(resets=50, window_bytes=10))
    for stream in range(1, 401, 2):
        connection.receive(frame(frames.HEADERS, frames.END_HEADERS, stream, BLOCK))
        connection.receive(memoryview(fault[:5].tobytes() + stream.to_bytes(4, "big") + fault[9:].tobytes()))
        assert not connection.streams
        if connection.over:
            break
    assert stream == 101
    assert frames.goaway(stream, Error.ENHANCE_YOUR_CALM)[9:17] in b"".join(connection.out)
