"""Frames: their kinds, and how they are read and written (RFC 9113, section 6)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
MAX_WINDOW = MAX_STREAM = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
DEFAULT_TABLE = 4096
MAX_FRAME = 2**24 - 1

# Kinds, as plain integers: they are compared for every frame.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

# Flags.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

# Settings.
HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6

HEAD = Struct(">HBBBL")
"""Of a frame: length in 16 and 8 bits, kind, flags, stream, of which one bit means nothing.

For whoever cannot wait for :func:`read_head` and :func:`frame`.
"""
_LONG = Struct(">L")
_SETTING = Struct(">HL")


class Error(IntEnum):
    """Why a stream or a connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):  # noqa: N818 - an error is a code of the protocol here
    """What the peer did that ends the connection."""

    def __init__(self, code: Error, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):  # noqa: N818
    """What the peer did that ends one stream."""

    def __init__(self, code: Error, stream: int) -> None:
        super().__init__(f"stream {stream}: {code.name}")
        self.code = code
        self.stream = stream


def read_head(data: memoryview | bytes | bytearray, position: int) -> tuple[int, int, int, int]:
    """Length, kind, flags and stream of the frame whose first nine bytes begin at `position`."""
    high, low, kind, flags, stream = HEAD.unpack_from(data, position)
    return high << 8 | low, kind, flags, stream & MAX_STREAM


def read_long(data: memoryview | bytes, position: int = 0) -> int:
    """Read the 32 bits that begin at `position`."""
    value: int = _LONG.unpack_from(data, position)[0]
    return value


def read_settings(payload: memoryview | bytes) -> list[tuple[int, int]]:
    """Read the payload of a frame of settings, whose length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Frame of any kind."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """Frame of settings."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """Frame that lets the peer send so many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, _LONG.pack(increment))


def reset(stream: int, code: Error) -> bytes:
    """Frame that ends a stream."""
    return frame(RST_STREAM, 0, stream, _LONG.pack(code))


def goaway(last_stream: int, code: Error, text: str = "") -> bytes:
    """Frame that says that no later stream is looked at."""
    return frame(GOAWAY, 0, 0, _LONG.pack(last_stream) + _LONG.pack(code) + text.encode())


SETTINGS_ACK = frame(SETTINGS, ACK, 0)
