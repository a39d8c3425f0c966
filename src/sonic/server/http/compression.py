"""Bodies in gzip or deflate."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from sonic.errors import Unsupported
from sonic.server.decompression import WINDOW_BITS, decompress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.protocol.tensors import Buffer
    from sonic.server.http.head import Head


def compress(parts: Sequence[Buffer], coding: str) -> bytes:
    """Compress a body."""
    writer = zlib.compressobj(level=1, wbits=WINDOW_BITS[coding])
    return b"".join([*[writer.compress(part) for part in parts], writer.flush()])


def plain(head: Head, body: Buffer, max_bytes: int) -> Buffer:
    """Return the body of a request as it was before it was compressed; that takes a time that nobody knows beforehand.

    Raises
    ------
    Unsupported
        If its Content-Encoding is not offered.
    InvalidRequest
        As :func:`~sonic.server.decompression.decompress` does.
    """
    coding = head.get(b"content-encoding").lower()
    if coding in ("", "identity"):
        return body
    if coding not in WINDOW_BITS:
        raise Unsupported(f"Unsupported compression type {coding!r}: one of {', '.join(WINDOW_BITS)}")
    return decompress(body, coding, max_bytes, "the body")
