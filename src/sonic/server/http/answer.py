"""What goes back to a client."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING

from sonic.errors import RateLimited, Unauthenticated
from sonic.protocol import documents
from sonic.protocol.status import http_status
from sonic.server.http.head import BadMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.errors import SonicError
    from sonic.protocol.tensors import Buffer

JSON = b"Content-Type: application/json\r\n"

_JOINED_BYTES = 1 << 15
"""Up to so many bytes an answer is joined: that is quicker than to write its parts."""

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}
_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in _REASONS.items()}


class Answer:
    """A response that is ready to be sent.

    Parameters
    ----------
    status : int
    fields : bytes
        Lines of the head, each with its CR LF, but for those that say how long the body is and what becomes of the
        connection.
    parts : sequence of bytes-like
        The body. It is sent without being copied if it is large, so nothing may change it any more.
    """

    __slots__ = ("fields", "parts", "status")

    def __init__(self, status: int, fields: bytes = b"", parts: Sequence[Buffer] = ()) -> None:
        self.status = status
        self.fields = fields
        self.parts = parts

    def wire(self, extra: bytes, *, bodiless: bool = False) -> list[Buffer]:
        """Return the bytes to write, in few pieces.

        Parameters
        ----------
        extra : bytes
            More lines of the head.
        bodiless : bool
            Whether only the head is wanted.
        """
        parts = self.parts
        line = _LINES.get(self.status) or b"HTTP/1.1 %d Status\r\n" % self.status
        size = sum(map(len, parts))
        head = b"%b%b%bContent-Length: %d\r\n\r\n" % (line, extra, self.fields, size)
        if bodiless or not size:
            return [head]
        if size <= _JOINED_BYTES:
            return [b"".join([head, *parts])]
        return [head, *parts]


def refusal(error: SonicError) -> Answer:
    """Return the answer that says an error."""
    status = error.status if isinstance(error, BadMessage) else http_status(error)
    fields = JSON
    if isinstance(error, Unauthenticated):
        fields += b"WWW-Authenticate: Bearer\r\n"
    if isinstance(error, RateLimited):
        fields += b"Retry-After: %d\r\n" % ceil(error.wait_s)
    return Answer(status, fields, [documents.error_to_wire(error)])
