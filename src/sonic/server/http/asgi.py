"""A bridge to an ASGI application, for all that need not be quick: whole bodies in, whole answers out.

Specification: the HTTP part of ASGI 3.0.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sonic.server.http.answer import Answer
from sonic.server.http.compression import plain

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

    from sonic.protocol.tensors import Buffer
    from sonic.server.http.exchange import Exchange

_FRAMING = (b"content-length", b"transfer-encoding", b"connection", b"date")
"""What the connection says itself."""


class Application:
    """Answers requests with an ASGI application.

    Parameters
    ----------
    app : ASGIApp
    max_body_bytes : int
        Of a request, decompressed.
    """

    prefix = 0

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self.max_body_bytes = max_body_bytes

    def serve(self, exchange: Exchange) -> None:
        """Answer a request, in a task of the event loop."""
        exchange.run(self._call)

    async def _call(self, exchange: Exchange) -> Answer:
        head = exchange.head
        body: Buffer = exchange.body
        if body and head.get(b"content-encoding"):
            body = await asyncio.to_thread(plain, head, body, self.max_body_bytes)
        call = _Call(bytes(body))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.http_version,
            "method": head.method,
            "scheme": "http",
            "path": head.path,  # with its escapes: routes are of what came
            "raw_path": head.target,
            "query_string": head.query,
            "root_path": "",
            "headers": list(head.headers),
            "client": (exchange.peer, 0) if exchange.peer else None,
            "server": None,
        }
        await self._app(scope, call.receive, call.send)
        return Answer(call.status, call.fields, call.parts)


class _Call:
    """One request, as the application reads and answers it."""

    def __init__(self, body: bytes) -> None:
        self.status = 500
        self.fields = b""
        self.parts: list[Buffer] = []
        self._body: bytes | None = body

    async def receive(self) -> Message:
        if self._body is None:  # and nobody tells an application here that its client has gone: its task is cancelled
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: Any = message.get("headers", ())
            self.fields = b"".join(b"%b: %b\r\n" % pair for pair in headers if pair[0].lower() not in _FRAMING)
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
