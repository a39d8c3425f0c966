"""The server's HTTP/2 against the client of the library h2, and against bytes that no client sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hypothesis.strategies as st
import pytest
from hypothesis import given

from sonic.server.http2 import Connection, Error, Limits, frames, headers
from sonic.server.http2.frames import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.server.http2 import Stream
    from sonic.server.http2.headers import Headers

HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x"), ("te", "trailers")]
OPENING = headers.write([(":status", "200")])
DONE = headers.write([("grpc-status", "0")])


class Echo:
    """Sends back what came, when all of it has."""

    def __init__(self, limits: Limits | None = None, *, answers: bool = True, credits_at_once: bool = True) -> None:
        self.http2: Connection[Headers] = Connection(self, lambda pairs: pairs, limits)
        self.answers = answers
        self.credits_at_once = credits_at_once
        self.heads: list[Headers] = []
        self.bodies: dict[int, bytes] = {}
        self.given_up: list[int] = []
        self.streams: dict[int, Stream] = {}

    def opened(self, stream: Stream, head: Headers) -> None:
        self.heads.append(head)
        self.bodies[stream.id] = b""
        self.streams[stream.id] = stream
        if stream.ended:
            self.received(stream, ())

    def received(self, stream: Stream, parts: Sequence[memoryview]) -> None:
        data = b"".join(parts)
        self.bodies[stream.id] += data
        if self.credits_at_once:
            self.http2.credit(stream, len(data))
        if stream.ended and self.answers:
            self.http2.send_headers(stream, OPENING)
            self.http2.send(stream, [self.bodies[stream.id]], DONE)

    def reset(self, stream: Stream) -> None:
        self.given_up.append(stream.id)

    def take(self) -> bytes:
        content = b"".join(self.http2.out)
        self.http2.out.clear()
        return content


class Client:
    """h2 on one end, ours on the other; `pieces` of so many bytes go over."""

    def __init__(self, server: Echo, piece: int = 1 << 20, window: int | None = None) -> None:
        self.server = server
        self.piece = piece
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.events: list[Any] = []
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.exchange()

    def exchange(self) -> None:
        while (out := self.h2.data_to_send()) or self.server.http2.out:
            for start in range(0, len(out), self.piece):
                self.server.http2.receive(memoryview(out)[start : start + self.piece])
            for event in self.h2.receive_data(self.server.take()):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def post(self, body: bytes, head: list[tuple[str, str]] | None = None, *, end: bool = True) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, head or HEAD)
        self.write(stream, body, end=end)
        return stream

    def write(self, stream: int, body: bytes, *, end: bool = True) -> None:
        view = memoryview(body)
        while len(view):
            size = min(len(view), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, bytes(view[:size]))
            view = view[size:]
            self.exchange()
        if end:
            self.h2.end_stream(stream)
        self.exchange()

    def body(self, stream: int) -> bytes:
        return b"".join(e.data for e in self.of(h2.events.DataReceived) if e.stream_id == stream)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.mark.parametrize("piece", [1, 5, 9, 10, 1000, 1 << 20])
def test_requests_and_answers_however_they_are_cut(piece: int) -> None:
    client = Client(server := Echo(), piece)
    bodies = [b"", b"a", bytes(range(256)) * 20]
    streams = [client.post(body) for body in bodies]
    assert [client.body(stream) for stream in streams] == bodies
    assert dict(server.heads[0])[":path"] == "/a/b"
    assert [e.stream_id for e in client.of(h2.events.StreamEnded)] == streams
    assert client.of(h2.events.TrailersReceived)[0].headers[0] == ("grpc-status", "0")
    assert not server.http2.streams


def test_what_is_larger_than_any_window() -> None:
    body = bytes(range(251)) * 4000
    client = Client(server := Echo(Limits(window_bytes=70_000, frame_bytes=20_000)), window=1000)
    assert client.body(client.post(body)) == body
    assert not server.http2.streams


def test_streams_share_what_the_client_takes() -> None:
    server = Echo()
    client = Client(server, window=10)
    client.h2.acknowledge_received_data = lambda *_: None  # it takes the first bytes of each, and no more
    streams = [client.post(b"x" * 30) for _ in range(3)]
    assert [len(client.body(stream)) for stream in streams] == [10, 10, 10]
    assert [stream.queued_bytes for stream in server.streams.values()] == [20, 20, 20]
    drained: list[int] = []
    server.streams[streams[1]].drained = lambda: drained.append(1)
    client.h2.increment_flow_control_window(100, streams[1])
    client.exchange()
    assert [len(client.body(stream)) for stream in streams] == [10, 30, 10]
    assert drained == [1]
    client.h2.reset_stream(streams[0])
    client.exchange()
    assert server.given_up == [streams[0]]
    assert list(server.http2.streams) == [streams[2]]


def test_a_window_that_grows_counts_for_the_client_once_that_is_acknowledged() -> None:
    client = Client(Echo(), window=10)
    client.h2.acknowledge_received_data = lambda *_: None
    stream = client.post(b"x" * 30)
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
    client.exchange()  # h2 refuses data beyond the window that it knows to be acknowledged
    assert client.body(stream) == b"x" * 30


def test_a_client_that_waits_for_credit_waits() -> None:
    server = Echo(Limits(window_bytes=100), answers=False, credits_at_once=False)
    client = Client(server)
    stream = client.post(b"x" * 100, end=False)
    assert client.h2.local_flow_control_window(stream) == 0
    server.http2.credit(server.streams[stream], 100)
    client.exchange()
    assert client.h2.local_flow_control_window(stream) == 100


def test_headers_mean_what_the_table_says_now() -> None:
    client = Client(server := Echo())
    for value in ("one", "one", "two", "one", "two"):  # put into the table, and then only referred to
        client.post(b"", [*HEAD, ("x-value", value)])
    assert [dict(head)["x-value"] for head in server.heads] == ["one", "one", "two", "one", "two"]


def test_headers_over_several_frames() -> None:
    client = Client(server := Echo(), piece=7)
    client.post(b"", [*HEAD, ("x-long", "v" * 40_000)])
    assert dict(server.heads[0])["x-long"] == "v" * 40_000


def test_an_answer_before_the_end_of_the_request() -> None:
    server = Echo(answers=False)
    client = Client(server)
    stream = client.post(b"begun", end=False)
    server.http2.send_headers(server.streams[stream], OPENING, last=True)
    client.exchange()
    (event,) = client.of(h2.events.StreamReset)
    assert event.error_code == Error.NO_ERROR


def test_no_more_streams_than_allowed_and_none_at_the_end() -> None:
    server = Echo(Limits(streams=2), answers=False)
    client = Client(server)
    begun = [client.post(b"x") for _ in range(2)]
    client.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 9  # it does not heed it
    client.h2.remote_settings.acknowledge()
    client.h2.send_headers(client.h2.get_next_available_stream_id(), HEAD, end_stream=True)
    client.exchange()
    assert [e.error_code for e in client.of(h2.events.StreamReset)] == [Error.REFUSED_STREAM]
    server.http2.refuse()
    client.exchange()
    (goaway,) = client.of(h2.events.ConnectionTerminated)
    assert (goaway.error_code, goaway.last_stream_id) == (Error.NO_ERROR, 5)
    server.http2.send_headers(server.streams[begun[0]], OPENING, last=True)  # those that had begun go on
    assert list(server.http2.streams) == [begun[1]]


def test_headers_of_a_stream_that_is_refused_count_for_those_after_it() -> None:
    into_the_table, from_the_table = BLOCK + b"\x40\x01a\x01b", BLOCK + b"\xbe"
    limits = Limits(streams=1)
    server = raw(OPENED, frame(frames.HEADERS, WHOLE, 3, into_the_table), limits=limits, answers=False)
    assert frames.reset(3, Error.REFUSED_STREAM) in server.take()
    server.http2.send_headers(server.streams[1], OPENING, last=True)
    server.http2.receive(memoryview(frame(frames.HEADERS, WHOLE, 5, from_the_table)))
    assert server.heads == [tuple(HEAD), (*HEAD, ("a", "b"))]


def test_padding_is_credited_like_data() -> None:
    padded = frame(frames.DATA, frames.PADDED, 1, b"\x09" + bytes(9))
    server = raw(OPENED, *[padded] * 10, limits=Limits(window_bytes=20))
    assert (server.given_up, server.bodies) == ([], {1: b""})


@pytest.mark.interpreted
def test_the_window_of_all_streams_grows_before_it_is_used_up() -> None:
    server = raw(OPENED)
    server.take()
    server.http2._receive_window = frames.MAX_WINDOW // 2 + 1
    server.http2.receive(memoryview(frame(frames.DATA, 0, 1, b"x")))
    assert server.take() == b""
    server.http2.receive(memoryview(frame(frames.DATA, 0, 1, b"x")))
    assert server.take() == frames.window_update(0, frames.MAX_WINDOW - frames.MAX_WINDOW // 2 + 1)
    assert server.http2._receive_window == frames.MAX_WINDOW


def test_pings_are_answered() -> None:
    client = Client(Echo())
    client.h2.ping(b"12345678")
    client.exchange()
    assert client.of(h2.events.PingAckReceived)[0].ping_data == b"12345678"


def raw(*parts: bytes, limits: Limits | None = None, answers: bool = True) -> Echo:
    """A server after bytes that h2 would not send, preface and settings before them."""
    server = Echo(limits, answers=answers)
    server.http2.receive(memoryview(frames.PREFACE + frames.settings({}) + b"".join(parts)))
    return server


BLOCK = headers.write(HEAD)
OPENED = frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK)
WHOLE = frames.END_HEADERS | frames.END_STREAM
ENDED = frame(frames.HEADERS, WHOLE, 1, BLOCK)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(frames.DATA, 0, 1, b"x"), Error.PROTOCOL_ERROR),
        (frame(frames.DATA, 0, 0, b"x"), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, WHOLE, 2, BLOCK), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, WHOLE, 0, BLOCK), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, BLOCK[:3]) + frame(frames.PING, 0, 0, b"8" * 8), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, BLOCK[:3]) + frame(frames.CONTINUATION, 4, 3, BLOCK[3:]), Error.PROTOCOL_ERROR),
        (frame(frames.CONTINUATION, 4, 1, BLOCK), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, 0, 1, BLOCK) + frame(frames.CONTINUATION, 0, 1, b""), Error.ENHANCE_YOUR_CALM),
        (
            frame(frames.HEADERS, 0, 1, BLOCK) + frame(frames.CONTINUATION, 0, 1, b"x" * 60_000) * 5,
            Error.ENHANCE_YOUR_CALM,
        ),
        (frame(frames.HEADERS, WHOLE | frames.PADDED, 1, b"\xff"), Error.PROTOCOL_ERROR),
        (frame(frames.HEADERS, WHOLE | frames.HAS_PRIORITY, 1, b"123"), Error.FRAME_SIZE_ERROR),
        (frame(frames.HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"), Error.COMPRESSION_ERROR),
        (frame(frames.HEADERS, WHOLE, 1, b"\xbf"), Error.COMPRESSION_ERROR),
        (OPENED + frame(frames.DATA, frames.PADDED, 1, b"\x05abc"), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.DATA, frames.PADDED, 1, b"\x04abc"), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), Error.PROTOCOL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Error.FLOW_CONTROL_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 0, b"\0"), Error.FRAME_SIZE_ERROR),
        (frame(frames.WINDOW_UPDATE, 0, 7, b"\0\0\0\1"), Error.PROTOCOL_ERROR),
        (frame(frames.RST_STREAM, 0, 7, b"\0\0\0\1"), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.RST_STREAM, 0, 1, b"\0"), Error.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 0, b"\0"), Error.FRAME_SIZE_ERROR),
        (frame(frames.SETTINGS, 0, 3), Error.PROTOCOL_ERROR),
        (frame(frames.SETTINGS, frames.ACK, 0, b"123456"), Error.FRAME_SIZE_ERROR),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), Error.FLOW_CONTROL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 100}), Error.PROTOCOL_ERROR),
        (frames.settings({frames.ENABLE_PUSH: 2}), Error.PROTOCOL_ERROR),
        (frame(frames.PING, 0, 0, b"123"), Error.FRAME_SIZE_ERROR),
        (frame(frames.PING, 0, 1, b"12345678"), Error.PROTOCOL_ERROR),
        (frame(frames.PUSH_PROMISE, 0, 1, b"1234"), Error.PROTOCOL_ERROR),
        (frame(frames.GOAWAY, 0, 1, b"12345678"), Error.PROTOCOL_ERROR),
        (frame(frames.GOAWAY, 0, 0, b"1234567"), Error.FRAME_SIZE_ERROR),
        (frame(frames.PRIORITY, 0, 0, b"12345"), Error.PROTOCOL_ERROR),
        (frames.HEAD.pack(2**15, 0, frames.HEADERS, 0, 1), Error.FRAME_SIZE_ERROR),
    ],
)
def test_what_ends_the_connection(sent: bytes, code: Error) -> None:
    server = raw(sent)
    assert server.http2.over
    assert not server.http2.streams
    content = server.take()
    position = 0
    while True:
        length, kind, _, _ = frames.read_head(content, position)
        if kind == frames.GOAWAY:
            assert frames.read_long(content, position + 13) == code
            break
        position += 9 + length


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (OPENED + frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), Error.FLOW_CONTROL_ERROR),
        (OPENED + frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.HEADERS, WHOLE, 1, BLOCK), Error.PROTOCOL_ERROR),
        (OPENED + frame(frames.HEADERS, frames.END_HEADERS, 1, DONE), Error.PROTOCOL_ERROR),
        (ENDED + frame(frames.HEADERS, WHOLE, 1, DONE), Error.PROTOCOL_ERROR),
        (ENDED + frame(frames.DATA, 0, 1, b"x"), Error.STREAM_CLOSED),
        (OPENED + frame(frames.PRIORITY, 0, 1, b"1234"), Error.FRAME_SIZE_ERROR),
        (OPENED + frame(frames.DATA, 0, 1, b"x" * 30), Error.FLOW_CONTROL_ERROR),
    ],
)
def test_what_ends_a_stream(sent: bytes, code: Error) -> None:
    server = raw(sent, limits=Limits(window_bytes=20), answers=False)
    assert server.given_up == [1]
    assert not server.http2.over
    assert frames.reset(1, code) in server.take()


def test_what_is_not_http2() -> None:
    server = Echo()
    server.http2.receive(memoryview(b"GET / HTTP/1.1\r\n\r\n"))
    assert server.http2.over
    server.http2.receive(memoryview(b"more"))


def test_what_has_no_meaning_is_passed_over() -> None:
    server = raw(
        frame(frames.PRIORITY, 0, 5, b"12345"),
        frame(0x42, 0xFF, 9, b"unknown"),
        frames.settings({0x99: 1}),
        frame(frames.GOAWAY, 0, 0, b"12345678"),
        frame(
            frames.HEADERS,
            frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY,
            1,
            b"\x02\0\0\0\0\1" + BLOCK + b"pp",
        ),
        frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\x03abcppp"),
        frame(frames.DATA, 0, 1, b"late"),
        frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
        frame(frames.RST_STREAM, 0, 1, b"\0\0\0\1"),
    )
    assert not server.http2.over
    assert server.bodies == {1: b"abc"}


def test_trailers_end_a_request() -> None:
    server = raw(OPENED, frame(frames.DATA, 0, 1, b"abc"), frame(frames.HEADERS, WHOLE, 1, DONE))
    assert server.bodies == {1: b"abc"}
    assert not server.http2.streams
    assert not server.given_up


def test_a_request_that_is_none_is_not_begun_and_the_others_go_on() -> None:
    server = raw(OPENED, frame(frames.HEADERS, WHOLE, 3, DONE), frame(frames.DATA, frames.END_STREAM, 1, b"abc"))
    assert frames.reset(3, Error.PROTOCOL_ERROR) in server.take()
    assert (server.bodies, server.given_up, server.http2.over) == ({1: b"abc"}, [], False)


@pytest.mark.parametrize("size", [0, 100, 4096, 8192])
def test_a_client_may_keep_a_smaller_table(size: int) -> None:
    client = Client(Echo())
    for changed in (size, 4096, size):
        client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: changed})
        client.exchange()
        assert client.body(client.post(b"abc")) == b"abc"


def test_streams_that_are_opened_only_to_be_reset() -> None:
    server = Echo(Limits(resets=50), answers=False)
    server.http2.receive(memoryview(frames.PREFACE + frames.settings({})))
    for stream in range(1, 401, 2):
        server.http2.receive(
            memoryview(frame(frames.HEADERS, WHOLE, stream, BLOCK) + frames.reset(stream, Error.CANCEL))
        )
        if server.http2.over:
            break
    assert len(server.given_up) == 51  # the last with the connection


def test_a_stream_that_is_answered_makes_up_for_one_that_is_reset() -> None:
    server = raw(limits=Limits(resets=5))
    for stream in range(1, 401, 4):
        server.http2.receive(memoryview(frame(frames.HEADERS, WHOLE, stream, BLOCK)))
        opened = frame(frames.HEADERS, frames.END_HEADERS, stream + 2, BLOCK)
        server.http2.receive(memoryview(opened + frames.reset(stream + 2, Error.CANCEL)))
    assert (server.http2.over, len(server.given_up)) == (False, 100)


@given(st.lists(st.binary(max_size=60), max_size=30), st.binary(max_size=200))
def test_whatever_comes_there_is_an_orderly_end(payloads: list[bytes], junk: bytes) -> None:
    server = raw(*(frame(p[0] % 11, p[1], p[2] % 5, p[3:]) for p in payloads if len(p) > 3), junk)
    server.http2.close()
    assert not server.http2.streams
    assert sorted(server.given_up) == sorted(set(server.given_up))


@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=6),
    st.lists(st.integers(1, 4000), min_size=1),
    st.integers(0, 900),
)
def test_bodies_come_back_whatever_the_pieces(bodies: list[bytes], pieces: list[int], window: int) -> None:
    server = Echo(Limits(window_bytes=500))
    client = Client(server, window=window + 1)
    sizes = iter(pieces * 100_000)
    plain = server.http2.receive

    def receive(data: memoryview) -> None:
        while len(data):
            size = next(sizes)
            plain(data[:size])
            data = data[size:]

    server.http2.receive = receive  # type: ignore[method-assign]
    assert [client.body(client.post(body)) for body in bodies] == bodies


def test_what_came_of_a_stream_that_is_given_up_reaches_no_other() -> None:
    server = raw(
        OPENED,
        frame(frames.HEADERS, frames.END_HEADERS, 3, BLOCK),
        frame(frames.DATA, 0, 1, b"aa"),
        frame(frames.DATA, 0, 1, b"more than the window holds"),
        frame(frames.DATA, frames.END_STREAM, 3, b"bb"),
        limits=Limits(window_bytes=4),
    )
    assert server.given_up == [1]
    assert server.bodies[3] == b"bb"
