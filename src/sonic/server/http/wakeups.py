"""How much of a large body comes before the event loop is woken for it.

Each time costs about ten microseconds, and without this a megabyte comes in thirty pieces.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

PIECE_BYTES = 1 << 18
"""While so much of a body is missing, less is not worth a read."""


class Wakeups:
    """The threshold of one connection. Where it cannot be set (TLS, Unix domain sockets) there is none.

    Parameters
    ----------
    transport : asyncio.Transport
    """

    __slots__ = ("_bytes", "_socket")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._bytes = 1
        self._socket: socket.socket | None = None
        given = transport.get_extra_info("socket")
        encrypted = transport.get_extra_info("sslcontext") is not None
        if given is not None and not encrypted and given.family in (socket.AF_INET, socket.AF_INET6):
            # Not `given`: what the event loop lends duplicates the file at each call.
            self._socket = socket.socket(given.family, given.type, given.proto, fileno=given.fileno())

    def wait_for(self, count: int) -> None:
        """Wake the event loop for so many bytes, or the end of the stream; the client has promised at least as many."""
        count = min(count, PIECE_BYTES)
        if self._socket is None or count == self._bytes:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._bytes = count
        except OSError:  # not every system can, and the connection may be broken, which its owner learns anyway
            self.close()

    def close(self) -> None:
        """Let go of the socket, which is the event loop's to close."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
