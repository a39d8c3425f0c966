"""Bodies in gzip or deflate."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sonic.errors import InvalidRequest
from sonic.server.decompression import WINDOW_BITS, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.protocol.tensors import Buffer
    from sonic.server.http.head import Head

P = ParamSpec("P")
T = TypeVar("T")


_OWN_THREAD_BYTES = 1 << 16


def compress(parts: Sequence[Buffer], coding: str) -> bytes:
    """Compress a body."""
    writer = zlib.compressobj(level=1, wbits=WINDOW_BITS[coding])
    return b"".join([*[writer.compress(part) for part in parts], writer.flush()])


async def plain(head: Head, body: memoryview, max_bytes: int) -> Buffer:
    """Return the body of a request as it was before it was compressed.

    Raises
    ------
    InvalidRequest
        As :func:`~sonic.server.decompression.decompress` does, or if its Content-Encoding is not offered.
    """
    coding = head.get(b"content-encoding").lower()
    if coding in ("", "identity"):
        return body
    if coding not in WINDOW_BITS:
        raise InvalidRequest(f"Content-Encoding {coding!r} is not offered: one of {', '.join(WINDOW_BITS)}")
    return await off_loop(len(body), decompress, body, coding, max_bytes, "the body")


async def off_loop(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that takes its time for so many bytes, where that holds up no other connection."""
    if size < _OWN_THREAD_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
