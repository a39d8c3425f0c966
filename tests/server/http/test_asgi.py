from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

from sonic.server.http.asgi import Application
from sonic.server.http.exchange import Exchange
from sonic.server.http.head import read_head

if TYPE_CHECKING:
    from sonic.server.http.answer import Answer


class Owner:
    peer = "192.0.2.7"

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Answer] = self.loop.create_future()

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        self.ended.set_result(answer)


def ask(app: Any, head: str, body: bytes = b"") -> Answer:
    async def run() -> Answer:
        owner = Owner()
        Application(app, 1000).serve(Exchange(owner, read_head(head.encode() + b"\r\n\r\n"), memoryview(body)))
        return await asyncio.wait_for(owner.ended, 10)

    return asyncio.run(run())


def test_a_request_and_its_answer() -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        assert await receive() == {"type": "http.request", "body": b"hello", "more_body": False}
        headers = [(b"x-a", b"b"), (b"content-length", b"99")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        await send({"type": "http.response.body", "body": b"llo"})

    answer = ask(app, "POST /a%20b?q=1 HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip", gzip.compress(b"hello"))
    assert (answer.status, answer.fields, b"".join(answer.parts)) == (201, b"x-a: b\r\n", b"hello")
    assert (seen["method"], seen["path"], seen["raw_path"], seen["query_string"]) == (
        "POST",
        "/a%20b",
        b"/a%20b",
        b"q=1",
    )
    assert seen["headers"][0] == (b"host", b"h")
    assert seen["client"] == ("192.0.2.7", 0)


def test_an_application_that_fails(caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("so")

    answer = ask(app, "GET / HTTP/1.1")
    assert (answer.status, b"ZeroDivisionError: so" in answer.parts[0]) == (500, True)
    assert "failed for no reason that is known" in caplog.text


def test_an_application_that_says_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    assert ask(app, "GET / HTTP/1.1").status == 500


def test_a_body_that_cannot_be_read() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it does not come to that")

    answer = ask(app, "POST / HTTP/1.1\r\nContent-Encoding: gzip", b"junk")
    assert (answer.status, b"the body is not gzip" in answer.parts[0]) == (400, True)
