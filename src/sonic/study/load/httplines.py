"""Lines over HTTP/1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import httptools

from sonic.protocol import documents, http_codec, status
from sonic.study.load.sockets import SocketLine, SocketLines

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from sonic.client.url import Address
    from sonic.protocol.messages import InferRequest

_ERROR_BYTES = 4096
_HEADER_LENGTH = http_codec.HEADER_LENGTH.lower().encode()


class HttpLines(SocketLines):
    """See :class:`~sonic.study.load.sockets.SocketLines`.

    Parameters
    ----------
    address : Address
    requests : sequence of InferRequest
    loop : asyncio.AbstractEventLoop
    """

    def __init__(self, address: Address, requests: Sequence[InferRequest], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(address, loop)
        self.messages = [self._message(request) for request in requests]
        # Of the last answer: servers begin most of theirs alike, to the byte.
        self.known_head = b"\0"
        self.known_bytes, self.known_received = 0, 0

    def line(self) -> SocketLine:
        """Return another line."""
        return _HttpLine(self)

    def _message(self, request: InferRequest) -> bytes:
        body, header_length = http_codec.request_to_wire(request)
        version = f"/versions/{quote(request.version, safe='')}" if request.version else ""
        lines = [
            f"POST /v2/models/{quote(request.model, safe='')}{version}/infer HTTP/1.1",
            f"Host: {self.authority}",
            "Content-Type: application/octet-stream",
            f"{http_codec.HEADER_LENGTH}: {header_length}",
            f"Content-Length: {len(body)}",
        ]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        return "\r\n".join([*lines, "", ""]).encode() + body


class _HttpLine(SocketLine):
    _lines: HttpLines

    def __init__(self, lines: HttpLines) -> None:
        super().__init__(lines)
        self._left: int | None = None
        self._parser: httptools.HttpResponseParser | None = None

    def opened(self, transport: asyncio.Transport) -> None:  # noqa: ARG002 - nothing is said before the request
        self._begin()

    def write(self, transport: asyncio.Transport, number: int) -> None:
        transport.write(self._lines.messages[number])

    def data_received(self, data: bytes) -> None:
        lines = self._lines
        if self._left is not None:
            self._left -= len(data)
        elif self._parser is None and data.startswith(lines.known_head):
            self._left = lines.known_bytes - len(data)
        else:
            self._parse(data)
            return
        if self._left == 0:
            self._left = None
            self.end("", lines.known_received)
        elif self._left < 0:
            self.fail("more was answered than asked")

    def _begin(self) -> None:
        self._left = self._parser = None
        self._raw = bytearray()
        self._body = bytearray()
        self._body_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._whole, self._keep = 0, False

    def _parse(self, data: bytes) -> None:
        """Read an answer that begins otherwise than the last."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if len(self._raw) < _ERROR_BYTES:
            self._raw += data[:_ERROR_BYTES]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"what came is no HTTP: {error}")
            return
        if self._whole > 1:
            self.fail("more was answered than asked")
        elif self._whole:
            self._answered(self._parser.get_status_code(), self._keep)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if len(self._body) < _ERROR_BYTES:
            self._body += body[:_ERROR_BYTES]

    def on_message_complete(self) -> None:
        self._whole += 1
        assert self._parser is not None  # noqa: S101 - it is who calls
        self._keep = self._parser.should_keep_alive()  # which it no longer knows later

    def _answered(self, code: int, keep: bool) -> None:
        error, received = "", 0
        if code == 200:
            received = max(0, self._body_bytes - int(self._headers.get(_HEADER_LENGTH, b"0")))
            head_bytes = self._raw.find(b"\r\n\r\n") + 4
            if keep and head_bytes >= 4 and b"content-length" in self._headers:
                self._lines.known_head = bytes(self._raw[:head_bytes])
                self._lines.known_bytes = head_bytes + self._body_bytes
                self._lines.known_received = received
        else:
            error = str(status.from_http(code, documents.error_from_wire(bytes(self._body))))
        self._begin()
        if not keep and self._transport is not None:
            self._transport.close()
        self.end(error, received)
