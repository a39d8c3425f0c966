"""What gRPC writes into HTTP/2: the headers of a call, messages with their lengths, and how a call ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from sonic.errors import InvalidRequest, Unsupported
from sonic.protocol.status import grpc_code
from sonic.server.decompression import WINDOW_BITS, decompress
from sonic.server.http2 import Limits, headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sonic.errors import SonicError
    from sonic.server.http2.headers import Headers

    Buffer = bytes | bytearray | memoryview

PREFIX_BYTES = 5
_PREFIX = Struct(">BL")  # whether the message is compressed, and its length
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_CONTENT = re.compile(r"application/grpc(?:[+; ]|\Z)")  # and not that of gRPC-Web, which is framed otherwise
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_AT_ONCE_BYTES = 1 << 24  # room for a message at first: its length is only its sender's claim
_ALIGNED_BYTES = 64
_SHORT_BYTES = 4096  # not worth aligning
_MAX_HEADER_BYTES = Limits().header_bytes
_MAX_TEXT_BYTES = 2000  # it travels in a header, three times as long at worst, and peers accept some 8 kB of headers

OPENING = headers.write([(":status", "200"), ("content-type", "application/grpc")])
"""Headers of an answer."""
DONE = headers.write([("grpc-status", "0")])
"""Trailers of one that went well."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a call say.

    Parameters
    ----------
    path : str
        ``/service/method``.
    timeout_s : float or None
        What the client gives it.
    encoding : str
        Of messages that are compressed.
    authorization : str or None
    ends_in_errors : bool
        Whether the first error ends a stream; else it is a message, and the stream goes on.
    status : int
        Of HTTP, if it is no call of gRPC; else 200.
    fault : str
        What is wrong with it; empty if nothing is.
    """

    path: str
    timeout_s: float | None = None
    encoding: str = "identity"
    authorization: str | None = None
    ends_in_errors: bool = False
    status: int = 200
    fault: str = ""


def read_head(given: Headers) -> Head:
    """Read the headers of a call; of a header given twice the last counts."""
    fields = dict(given)
    status = 200
    if _CONTENT.match(fields.get("content-type", "")) is None:
        status = 415
    if fields.get(":method") != "POST":
        status = 405
    timeout = fields.get("grpc-timeout")
    timeout_s, fault = None, ""
    if timeout is not None:
        if (match := _TIMEOUT.fullmatch(timeout)) is None:
            fault = f"grpc-timeout is up to eight digits and one of H, M, S, m, u, n, given {timeout[:20]!r}"
        else:
            timeout_s = int(match[1]) * _UNIT_S[match[2]]
    if headers.list_bytes(given) > _MAX_HEADER_BYTES:
        fault = f"the metadata of a call is at most {_MAX_HEADER_BYTES} bytes"
    return Head(
        path=fields.get(":path", ""),
        timeout_s=timeout_s,
        encoding=fields.get("grpc-encoding", "identity"),
        authorization=fields.get("authorization"),
        ends_in_errors=fields.get("triton_grpc_error") == "true",
        status=status,
        fault=fault,
    )


def refusal(status: int) -> bytes:
    """Headers that answer what is no call of gRPC."""
    return headers.write([(":status", str(status))])


def failure(error: SonicError, *, opened: bool) -> bytes:
    """Headers that end a call in an error; `opened`: whether its answer had begun."""
    text = str(error).encode()[:_MAX_TEXT_BYTES].decode(errors="ignore")  # but for a character that is cut in two
    # In the bytes of UTF-8, percent-encoded but for what is printable.
    written = quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
    ending = [("grpc-status", str(grpc_code(error))), ("grpc-message", written)]
    if isinstance(error, Unsupported):
        ending.append(("grpc-accept-encoding", ",".join(("identity", *WINDOW_BITS))))
    return headers.write(ending if opened else [(":status", "200"), ("content-type", "application/grpc"), *ending])


def prefix(size: int) -> bytes:
    """First five bytes of a message of so many more, not compressed."""
    return _PREFIX.pack(0, size)


class Message:
    """What a client has sent, which may be compressed.

    Attributes
    ----------
    data : bytes-like
        As it came.
    compressed : bool
        Then to make sense of it takes a time that nobody knows beforehand, and is not for the event loop.
    """

    __slots__ = ("_encoding", "_max_bytes", "compressed", "data")

    def __init__(self, data: Buffer, *, compressed: bool, encoding: str, max_bytes: int) -> None:
        self.data = data
        self.compressed = compressed
        self._encoding = encoding
        self._max_bytes = max_bytes

    def content(self) -> Buffer:
        """Return what it holds.

        Raises
        ------
        InvalidRequest
            If it is not what it says, or too large.
        Unsupported
            If nobody knows how it is compressed.
        """
        if not self.compressed:
            return self.data
        if self._encoding not in WINDOW_BITS:
            raise Unsupported(f"grpc-encoding {self._encoding!r} is not offered: one of {', '.join(WINDOW_BITS)}")
        return decompress(self.data, self._encoding, self._max_bytes, "a message")


class Inbox:
    """Makes messages of the pieces of a stream.

    Parameters
    ----------
    max_bytes : int
        Largest message, decompressed.
    encoding : str
        Of those that are compressed.
    """

    __slots__ = ("_buffer", "_compressed", "_encoding", "_filled", "_length", "_max_bytes", "_prefix")

    def __init__(self, max_bytes: int, encoding: str = "identity") -> None:
        self._max_bytes = max_bytes
        self._encoding = encoding
        self._prefix = b""
        self._buffer: memoryview | None = None
        self._filled = 0
        self._length = 0
        self._compressed = False

    @property
    def empty(self) -> bool:
        """Whether no message has begun that is not complete."""
        return self._buffer is None and not self._prefix

    def feed(self, parts: Iterable[memoryview]) -> Iterator[Message]:
        """Yield the messages that pieces complete. Each is a copy.

        Raises
        ------
        InvalidRequest
            If one is too large, or begins as none does.
        """
        for data in parts:
            buffer = self._buffer
            if buffer is not None:
                filled = self._filled + len(data)
                if filled < self._length and filled <= len(buffer):  # most pieces of a long message are within it
                    buffer[self._filled : filled] = data
                    self._filled = filled
                    continue
            yield from self._take(data)

    def _take(self, data: memoryview) -> Iterator[Message]:
        while data or (self._buffer is not None and self._filled == self._length):
            if self._buffer is None:
                if self._prefix or len(data) < PREFIX_BYTES:
                    missing = PREFIX_BYTES - len(self._prefix)
                    self._prefix += bytes(data[:missing])
                    data = data[missing:]
                    if len(self._prefix) < PREFIX_BYTES:
                        break
                    self._begin(self._prefix)
                    self._prefix = b""
                else:
                    self._begin(data)
                    data = data[PREFIX_BYTES:]
                if len(data) >= self._length < _SHORT_BYTES:  # nothing to gather
                    yield self._message(bytes(data[: self._length]))
                    data = data[self._length :]
                    continue
                self._buffer, self._filled = _room(min(self._length, _AT_ONCE_BYTES), self._length), 0
            data = self._fill(self._buffer, data)
            if self._filled == self._length:
                buffer, self._buffer = self._buffer, None
                yield self._message(buffer)

    def _message(self, data: Buffer) -> Message:
        return Message(data, compressed=self._compressed, encoding=self._encoding, max_bytes=self._max_bytes)

    def _begin(self, data: Buffer) -> None:
        flag, self._length = _PREFIX.unpack_from(data)
        if flag > 1:
            raise InvalidRequest(f"a message begins with 0 or 1, given {flag}")
        if self._length > self._max_bytes:
            raise InvalidRequest(f"a message holds at most {self._max_bytes} bytes, given {self._length}")
        self._compressed = bool(flag)

    def _fill(self, buffer: memoryview, data: memoryview) -> memoryview:
        size = min(len(data), self._length - self._filled)
        if self._filled + size > len(buffer):
            wider = _room(min(self._length, max(2 * len(buffer), self._filled + size)), self._length)
            wider[: self._filled] = buffer[: self._filled]
            self._buffer = buffer = wider
        buffer[self._filled : self._filled + size] = data[:size]
        self._filled += size
        return data[size:]


def _room(size: int, length: int) -> memoryview:
    """Memory for the first bytes of a message, not cleared.

    A tensor mostly is what a message ends with. So it is the end that is aligned, or tensors would have to be copied.
    """
    skipped = -length % _ALIGNED_BYTES
    return np.empty(size + skipped, np.uint8).data[skipped:]
