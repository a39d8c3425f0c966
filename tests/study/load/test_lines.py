"""Each kind of line sends what it is given, and tells how it ended, whatever the server does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sonic.client.url import parse_server
from sonic.protocol.messages import InferRequest
from sonic.server.http2.frames import frame
from sonic.study.load.grpclines import GrpcLines
from sonic.study.load.httplines import HttpLines
from sonic.study.load.inputs import RandomInputs
from sonic.study.load.settings import LoadSettings
from sonic.study.load.transportlines import TransportLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sonic.server.app import Server
    from sonic.study.load.lines import Lines

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def url_of(kind: str, server: Server, repository: Path) -> str:
    return {
        "grpc": f"grpc://127.0.0.1:{server.grpc_port}",
        "http": f"http://127.0.0.1:{server.http_port}",
        "grpc+unix": f"grpc+unix:{repository.parent}/grpc.sock",
        "http+unix": f"http+unix:{repository.parent}/http.sock",
        "local": f"local:{repository}",
    }[kind]


def make(kind: str, url: str, requests: Sequence[InferRequest], loop: asyncio.AbstractEventLoop) -> Lines:
    address = parse_server(url)
    if kind == "transport":
        return TransportLines(address, requests, loop, LoadSettings())
    return (HttpLines if address.scheme.startswith("http") else GrpcLines)(address, requests, loop)


def ends(lines: Lines, loop: asyncio.AbstractEventLoop, numbers: Sequence[int], parallel: int = 1) -> list[Any]:
    """Send requests, so many at a time, and return how each ended."""
    todo, ended = list(numbers), []
    free = [lines.line() for _ in range(parallel)]

    def send(line: Any) -> None:
        if todo:
            line.send(todo.pop(0), lambda error, received, _: done(line, error, received))

    def done(line: Any, error: str, received: int) -> None:
        ended.append((error, received))
        if len(ended) == len(numbers):
            loop.stop()
        else:
            send(line)

    for line in free:
        loop.call_soon(send, line)
    loop.call_later(20.0, loop.stop)
    loop.run_forever()
    lines.close()
    return ended


WAYS = ["grpc", "http", "grpc+unix", "http+unix", "transport grpc", "transport http", "transport local"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("model", "n_bytes"), [("echo", 128), ("large", 800_000)])
def test_answers(
    server: Server, repository: Path, loop: asyncio.AbstractEventLoop, way: str, model: str, n_bytes: int
) -> None:
    *transport, kind = way.split()
    url = url_of(kind, server, repository)
    requests = list(RandomInputs(2).requests(server.dataplane.model_spec(model), 0))[:3]
    before = server.dataplane.statistics(model)[0].inference_count
    lines = make("transport" if transport else kind, url, requests, loop)
    assert ends(lines, loop, [0, 1, 2] * 2, parallel=2) == [("", n_bytes)] * 6
    if kind != "local":
        assert server.dataplane.statistics(model)[0].inference_count == before + 12


@pytest.mark.parametrize("kind", ["grpc", "http", "transport"])
def test_what_the_server_refuses_is_told_and_the_next_is_answered(
    server: Server, repository: Path, loop: asyncio.AbstractEventLoop, kind: str
) -> None:
    good = list(RandomInputs().requests(server.dataplane.model_spec("echo"), 0))[:1]
    bad = [InferRequest("echo", {"z": good[0].inputs["x"]}), InferRequest("nope", dict(good[0].inputs))]
    url = url_of("http" if kind == "http" else "grpc", server, repository)
    refused, missing, answered = ends(make(kind, url, [*bad, *good], loop), loop, [0, 1, 2])
    assert "'z'" in refused[0]
    assert "unknown model: 'nope'" in missing[0]
    assert answered == ("", 64)


@pytest.mark.parametrize("kind", ["grpc", "http", "transport"])
def test_nobody_there(loop: asyncio.AbstractEventLoop, kind: str) -> None:
    url = "http://127.0.0.1:1" if kind == "http" else "grpc://127.0.0.1:1"
    (ended,) = ends(make(kind, url, [InferRequest("m", {})], loop), loop, [0])
    assert url in ended[0]


class Evil:
    """A server that says what it is told to, once a connection brings something; then it closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, says: bytes, *, closes: bool = True) -> None:
        self._says, self._closes = says, closes
        self._server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(self._says)
        await (asyncio.sleep(0) if self._closes else reader.read())
        writer.close()

    def close(self) -> None:
        self._server.close()


SETTINGS = frame(4, 0, 0)
RESPONSE = frame(1, 4, 1, b"\x88")  # :status 200
CASES = {
    "http": [
        (b"", "the connection was lost"),
        (b"what is this\r\n\r\n", "what came is no HTTP"),
        (OK[:-10], "the connection was lost"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 17\r\n\r\n" + b'{"error":"later"}', "later"),
        (OK + OK, "more was answered than asked"),
    ],
    "grpc": [
        (b"", "the connection was lost"),
        (SETTINGS + RESPONSE, "the connection was lost"),
        (SETTINGS + frame(3, 0, 1, b"\0\0\0\x07"), "the server reset the request, with code 7"),
        (SETTINGS + RESPONSE + frame(0, 1, 1, b"\0\0\0\0\0"), "the answer has no status"),
        (SETTINGS + frame(1, 5, 1, b"\xff\xff\xff\xff"), "headers that cannot be read"),
        (SETTINGS + frame(1, 5, 1, b"\x00\x0bgrpc-status\x0214\x00\x0cgrpc-message\x07full%21"), "full!"),
        (SETTINGS + frame(1, 5, 1, b"\x8d"), "HTTP status 404"),
        (frame(4, 0, 0, b"\x00"), "what came is no HTTP/2"),
        (SETTINGS + frame(0, 8, 1), "what came is no HTTP/2"),
        (
            SETTINGS + RESPONSE + frame(0, 0, 1, b"\0\0\0\0\x01\xff") + frame(1, 5, 1, b"\x00\x0bgrpc-status\x010"),
            "read",
        ),
    ],
}


@pytest.mark.parametrize(("kind", "says", "error"), [(kind, *case) for kind, cases in CASES.items() for case in cases])
def test_servers_that_lie(loop: asyncio.AbstractEventLoop, kind: str, says: bytes, error: str) -> None:
    evil = Evil(loop, says)
    ended = ends(make(kind, f"{kind}://127.0.0.1:{evil.port}", [InferRequest("m", {})], loop), loop, [0, 0])
    evil.close()
    assert error in ended[0][0]
    assert ended[1][0]  # on the same connection, or a new one


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_server_that_hangs_is_given_up(loop: asyncio.AbstractEventLoop, kind: str) -> None:
    evil = Evil(loop, b"", closes=False)
    lines = make(kind, f"{kind}://127.0.0.1:{evil.port}", [InferRequest("m", {})], loop)
    line, ended = lines.line(), []

    def done(error: str, received: int, at_s: float) -> None:
        ended.append(error)
        loop.call_later(0.01, loop.stop)

    loop.call_soon(line.send, 0, done)
    loop.call_later(0.05, line.give_up, "it hangs")
    loop.run_forever()
    lines.close()
    evil.close()
    assert ended == ["it hangs"]


def test_a_message_waits_for_room_at_the_server(loop: asyncio.AbstractEventLoop) -> None:
    # Room for 10 bytes a request at first, then for the rest.
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x0a"))
        asked = False
        while head := await reader.read(65536):
            got.append(head)
            if not asked:
                asked = True
                writer.write(frame(8, 0, 1, b"\0\x01\0\0"))
            if b"x" * 100 in b"".join(got):
                trailers = frame(1, 5, 1, b"\x00\x0bgrpc-status\x010")
                writer.write(RESPONSE + frame(0, 0, 1, b"\0\0\0\0\0") + trailers)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    lines = make("grpc", f"grpc://127.0.0.1:{port}", [InferRequest("m", {}, id="x" * 200)], loop)
    assert ends(lines, loop, [0]) == [("", 0)]
    server.close()
