"""What clients compress, over HTTP and gRPC alike."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from sonic.protocol.tensors import Buffer

WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""What zlib calls the codings that are offered."""


def decompress(content: Buffer, coding: str, max_bytes: int, what: str) -> bytes:
    """Decompress something.

    Parameters
    ----------
    content : bytes-like
    coding : str
        One of :data:`WINDOW_BITS`.
    max_bytes : int
        Of what it may hold.
    what : str
        Its name in messages.

    Raises
    ------
    InvalidRequest
        If it is not one whole stream, or holds more than `max_bytes`.
    """
    reader = zlib.decompressobj(wbits=WINDOW_BITS[coding])
    try:
        whole = reader.decompress(content, max_bytes)
    except zlib.error as error:
        raise InvalidRequest(f"{what} is not {coding}: {error}") from None
    if not reader.eof or reader.unused_data:
        raise InvalidRequest(f"{what} is not one whole {coding} stream of at most {max_bytes} bytes")
    return whole
