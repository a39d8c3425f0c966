"""A connection on a transport that a test reads, and on a clock that it turns."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sonic.errors import Unauthenticated
from sonic.server.busypoll import BusyPoll
from sonic.server.http import body as bodies
from sonic.server.http.answer import Answer
from sonic.server.http.body import Body, ChunkedBody
from sonic.server.http.connection import Connection
from sonic.server.http.connections import Connections, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.server.http.exchange import Exchange
    from sonic.server.http.head import Head

LIMITS = Limits(
    head_bytes=1000,
    unwanted_bytes=500,
    head_s=10,
    idle_s=100,
    stall_s=20,
    least_bytes_per_s=10,
    linger_s=5,
)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1234)})
        self.written = b""
        self.state = "open"
        self.reading = True

    def write(self, data: Any) -> None:
        assert self.state == "open"
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.state = "half"

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def is_closing(self) -> bool:
        return self.state != "open"

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


class Here:
    """A site and its only handler: answers with what it was sent if `quick`, else leaves it to the test."""

    max_body_bytes = 2000
    prefix = 0

    def __init__(self) -> None:
        self.quick = True
        self.seen: list[Exchange] = []
        self.bodies: list[bytes] = []
        self.refuses = False

    def admit(self, head: Head, peer: str) -> None:
        assert peer == "192.0.2.7"
        if self.refuses:
            raise Unauthenticated("a token is needed")

    def route(self, head: Head) -> Here:
        return self

    def serve(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        self.bodies.append(bytes(exchange.body))
        if exchange.head.path == "/bug":
            raise ZeroDivisionError("so")
        if self.quick:
            exchange.answer(Answer(200, parts=[b"<", exchange.body, b">"]))


class Talk:
    """One connection, and both ends of it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.site = Here()
        loop: Any = SimpleNamespace(call_soon_threadsafe=lambda call, *args: call(*args))
        self.poll = BusyPoll(0.0, lambda call: None)
        self.all = Connections(loop, self.poll, LIMITS, lambda: self.now_s)
        self.all.date = b""
        self.wire = Wire()
        self.connection = Connection(self.site, self.all)
        self.connection.connection_made(self.wire)

    def send(self, *parts: bytes) -> None:
        for part in parts:
            while part and self.wire.reading:
                room = memoryview(self.connection.get_buffer(-1))
                count = min(len(room), len(part))
                room[:count] = part[:count]
                part = part[count:]
                self.connection.buffer_updated(count)

    def got(self) -> str:
        written, self.wire.written = self.wire.written, b""
        return written.decode()

    def wait(self, seconds: float) -> str:
        self.now_s += seconds
        self.connection.check(self.now_s)
        return self.wire.state


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.connection.connection_lost(None)
    assert talk.poll.in_hand == 0


def post(body: bytes = b"", *lines: str, path: str = "/", version: str = "1.1") -> bytes:
    fields = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    return f"POST {path} HTTP/{version}\r\n{fields}\r\n".encode() + body


def answer(body: str, *lines: str) -> str:
    fields = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n{body}"


# ---- requests -------------------------------------------------------------------------------------------------------


def test_one_after_the_other(talk: Talk) -> None:
    for body in (b"a", b"", b"bc" * 700, b"a"):
        talk.send(post(body))
        assert talk.got() == answer(f"<{body.decode()}>")
    assert talk.wire.state == "open"


def test_byte_by_byte(talk: Talk) -> None:
    stream = b"\r\n" + post(b"one") + post() + b"\r\n\r\n" + post(b"three")
    talk.send(*(stream[i : i + 1] for i in range(len(stream))))
    assert talk.got() == answer("<one>") + answer("<>") + answer("<three>")


def test_all_at_once(talk: Talk) -> None:
    talk.send(post(b"one") + post(b"two") * 2 + post(b"x" * 1500) + post(b"last")[:-1], b"t")
    assert talk.got() == "".join(answer(f"<{body}>") for body in ("one", "two", "two", "x" * 1500, "last"))


def test_in_order_although_the_first_is_slow(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(post(b"one") + post(b"two"), post(b"three"))
    assert talk.site.bodies == [b"one"]
    for body in ("one", "two", "three"):
        assert talk.got() == ""
        talk.site.seen[-1].answer(Answer(200, parts=[body.encode()]))
        assert talk.got() == answer(body)


def test_what_waits_behind_a_slow_one_is_bounded(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(*[post(b"x" * 100)] * 50)
    assert not talk.wire.reading
    assert len(talk.site.seen) == 1
    talk.site.quick = True
    talk.site.seen[0].answer(Answer(200))
    assert talk.wire.reading
    assert 1000 / 150 < len(talk.site.seen) < 30


def test_chunks(talk: Talk) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk.send(head + b"3\r\nabc\r\n", b"2;x\r\nde\r\n0\r\n\r\n" + head + b"0\r\n\r\n")
    assert talk.got() == answer("<abcde>") + answer("<>")
    talk.send(head + b"zz\r\n")
    assert "size of a chunk is a hexadecimal number" in talk.got()
    assert talk.wire.state == "half"


def test_continue(talk: Talk) -> None:
    asked = post(b"abc", "Expect: 100-continue")
    talk.send(asked[:-3])
    assert talk.got() == "HTTP/1.1 100 Continue\r\n\r\n"
    talk.send(b"abc")
    assert talk.got() == answer("<abc>")
    talk.send(asked)  # it did not wait, and need not be told
    assert talk.got() == answer("<abc>")


def test_a_head_alone(talk: Talk) -> None:
    talk.send(b"HEAD / HTTP/1.1\r\n\r\n")
    assert talk.got() == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "line", "said", "state"),
    [
        ("1.1", "Connection: close", "Connection: close", "closed"),
        ("1.0", "X: y", "Connection: close", "closed"),
        ("1.0", "Connection: keep-alive", "Connection: keep-alive", "open"),
    ],
)
def test_the_end_of_a_connection(version: str, line: str, said: str, state: str, talk: Talk) -> None:
    talk.send(post(b"a", line, version=version))
    assert talk.got() == answer("<a>", said)
    assert talk.wire.state == state


def test_a_fault_of_the_server_is_answered_and_logged(talk: Talk, caplog: Any) -> None:
    talk.send(post(path="/bug") + post(b"a"))
    got = talk.got()
    assert got.startswith("HTTP/1.1 500")
    assert "internal error of the server: ZeroDivisionError: so" in got
    assert got.endswith(answer("<a>"))
    assert "failed for no reason that is known" in caplog.text


def test_a_large_answer_is_not_copied() -> None:
    part = memoryview(bytearray(100_000))
    pieces = Answer(200, parts=[b"json", part]).wire(b"")
    assert any(piece is part for piece in pieces)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "peer"), [(None, "unknown"), ("", ""), (("::1", 1, 0, 0), "::1")])
def test_who_is_at_the_other_end(name: Any, peer: str, talk: Talk) -> None:
    talk.wire._extra["peername"] = name  # type: ignore[attr-defined]
    talk.connection.connection_made(talk.wire)
    assert talk.connection.peer == peer


def test_refused_and_gone_on_with(talk: Talk) -> None:
    talk.site.refuses = True
    talk.send(post(b"x" * 400)[:-100])
    assert talk.got() == ""  # which a client that sends may not read yet
    talk.send(b"x" * 100)
    assert talk.got().startswith("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nWWW-Auth")
    talk.site.refuses = False
    talk.send(post(b"a"))
    assert talk.got() == answer("<a>")
    assert talk.site.bodies == [b"a"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("Content-Length: 501",), "a token is needed"),
        (("Content-Length: 5", "Expect: 100-continue"), "a token is needed"),
        (("Transfer-Encoding: chunked",), "a token is needed"),
    ],
)
def test_refused_for_good(lines: tuple[str, ...], text: str, talk: Talk) -> None:
    talk.site.refuses = True
    talk.send("\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode(), b"more" * 500)
    assert text in (got := talk.got())
    assert "Connection: close" in got
    assert got.count("HTTP/1.1") == 1  # what follows is no request
    assert talk.wire.state == "half"  # and it is read on, or the client might not see that
    assert talk.wait(4) == "half"
    assert talk.wait(2) == "aborted"


def test_bodies_that_are_too_large(talk: Talk) -> None:
    talk.send(post(b"x" * 2001))
    got = talk.got()
    assert got.startswith("HTTP/1.1 400")
    assert "a body holds at most 2000 bytes, given 2001" in got
    talk = Talk()
    talk.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"300\r\n" + b"x" * 768 + b"\r\n500\r\n")
    assert "a body holds at most 2000 bytes" in talk.got()


@pytest.mark.interpreted
def test_bodies_that_outgrow_the_memory(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Body) -> None:
        raise MemoryError

    monkeypatch.setattr(bodies, "RESERVE_BYTES", 1000)
    monkeypatch.setattr(Body, "_grow", full)
    talk.send(post(b"x" * 2000)[:-1900], b"x" * 1400)
    got = talk.got()
    assert got.startswith("HTTP/1.1 503")
    assert "there is no memory for the rest of a body, of which 1000 bytes came" in got
    assert talk.wire.state == "half"
    talk.send(b"x" * 500)
    assert (talk.got(), talk.site.seen) == ("", [])


@pytest.mark.interpreted
def test_chunks_that_outgrow_the_memory(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(ChunkedBody, "take", full)
    talk.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n300\r\n", b"x" * 768)
    assert talk.got().startswith("HTTP/1.1 503")
    assert talk.wire.state == "half"


@pytest.mark.parametrize("junk", [b"x" * 1001, b"\r\n" * 501, b"GET / HTTP/1.1\r\nA: " + b"b" * 10_000 + b"\r\n\r\n"])
def test_heads_that_are_too_large(junk: bytes, talk: Talk) -> None:
    talk.send(junk)
    assert talk.got().startswith("HTTP/1.1 431")
    assert talk.wire.state == "half"
    talk.send(b"x" * 100_000)
    assert talk.got() == ""


def test_what_follows_a_head_that_is_none_is_read_though_it_had_to_wait(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(post(b"a"), b"junk\r\n\r\n" + b"x" * 1000)
    assert not talk.wire.reading
    talk.site.seen[0].answer(Answer(200))
    assert talk.got().count("HTTP/1.1") == 2
    assert (talk.wire.state, talk.wire.reading) == ("half", True)


def test_smuggling(talk: Talk) -> None:
    talk.send(
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    )
    assert talk.got().startswith("HTTP/1.1 400")
    talk.send(post(b"hidden"))
    assert (talk.got(), talk.site.seen) == ("", [])


# ---- time -----------------------------------------------------------------------------------------------------------


def test_half_a_head(talk: Talk) -> None:
    talk.wait(50)
    talk.send(b"GET / HT")
    assert talk.wait(9) == "open"
    talk.send(b"TP")
    assert talk.wait(2) == "half"
    assert talk.got().startswith("HTTP/1.1 408")


def test_slow_bodies(talk: Talk) -> None:
    talk.send(post(b"x" * 1000)[:-1000])
    for _ in range(50):
        talk.send(b"x" * 10)
        assert talk.wait(1) == "open"  # the least that is enough
    assert talk.wait(21) == "half"
    assert talk.got().startswith("HTTP/1.1 408")
    talk = Talk()
    talk.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    assert talk.wait(21) == "half"


def test_idle_connections_close_and_slow_models_do_not_matter(talk: Talk) -> None:
    talk.site.quick = False
    assert talk.wait(99) == "open"
    talk.send(post(b"a"))
    assert talk.wait(10_000) == "open"
    talk.site.seen[0].answer(Answer(200))
    assert talk.wait(99) == "open"
    assert talk.wait(2) == "closed"


def test_a_client_that_does_not_read(talk: Talk) -> None:
    talk.send(post(b"a"))
    talk.connection.pause_writing()
    talk.send(post(b"b"), post(b"c"))
    assert talk.site.bodies == [b"a"]
    assert talk.wait(19) == "open"
    talk.connection.resume_writing()
    assert talk.site.bodies == [b"a", b"b", b"c"]
    talk.connection.pause_writing()
    assert talk.wait(21) == "aborted"
    talk = Talk()
    talk.send(post(b"a", "Connection: close"))
    assert (talk.wait(19), talk.wait(2)) == ("closed", "aborted")


# ---- the end --------------------------------------------------------------------------------------------------------


def test_a_client_that_goes_gives_its_request_up(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(post(b"a") + post(b"b"))
    (exchange,) = talk.site.seen
    exchange.future = Future()
    assert len(talk.all) == 1
    talk.connection.connection_lost(None)
    exchange.answer(Answer(200))  # too late
    assert (exchange.future, talk.got(), len(talk.all), talk.site.bodies) == (None, "", 0, [b"a"])


def test_a_client_that_goes_cancels_the_future(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(post(b"a"))
    future = talk.site.seen[0].future = Future()
    talk.connection.connection_lost(ConnectionResetError())
    assert future.cancelled()
    assert talk.site.seen[0].future is None


def test_the_servers_end(talk: Talk) -> None:
    talk.site.quick = False
    talk.send(post(b"a") + post(b"b"))
    talk.connection.end()
    assert talk.wire.state == "open"
    talk.site.seen[0].answer(Answer(200, parts=[b"a"]))
    assert talk.got() == answer("a", "Connection: close")
    assert (talk.wire.state, talk.site.bodies) == ("closed", [b"a"])
    idle, half = Talk(), Talk()
    half.send(post(b"abc")[:-1])
    for other in (idle, half):
        other.connection.end()
    assert (idle.wire.state, half.wire.state) == ("closed", "open")
    half.send(b"c")
    assert half.got() == answer("<abc>", "Connection: close")
