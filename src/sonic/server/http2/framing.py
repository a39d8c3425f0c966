"""Bytes into frames. Data is not gathered: its pieces are views of the bytes that came."""

from __future__ import annotations

from typing import Protocol

from sonic.server.http2 import frames
from sonic.server.http2.frames import ConnectionFault, Error


class Framed(Protocol):
    """Whoever is told of frames, in their order.

    Attributes
    ----------
    parts : list of memoryview
        Where pieces of data are put, valid until all bytes that came have been looked at.
    """

    parts: list[memoryview]

    def begin_data(self, length: int, stream_id: int) -> None:
        """Hear that a frame of data begins, whose pieces follow."""

    def end_data(self) -> None:
        """Hear that the last frame of a stream's data is complete."""

    def frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        """Take any other frame, valid during the call."""


class Framing:
    """Cuts what a client sends.

    Parameters
    ----------
    told : Framed
    max_bytes : int
        Largest payload.
    """

    def __init__(self, told: Framed, max_bytes: int) -> None:
        self._told = told
        self._max_bytes = max_bytes
        self._preface = frames.PREFACE  # what of it has yet to come
        self._rest = bytearray()  # a frame of which more has to come
        self._data_left = 0  # of the data that is being received
        self._data_flags = 0

    @property
    def begun(self) -> bool:
        """Whether the peer has said that it speaks HTTP/2."""
        return not self._preface

    def feed(self, data: memoryview) -> None:
        """Look at bytes that came.

        Raises
        ------
        ConnectionFault
            If they are not HTTP/2, or a frame is too long.
        """
        position, end = 0, len(data)
        if self._preface:
            position = min(len(self._preface), end)
            if data[:position] != self._preface[:position]:
                raise ConnectionFault(Error.PROTOCOL_ERROR, "this is not HTTP/2")
            self._preface = self._preface[position:]
        if self._rest:
            position = self._complete(data, position)
        position = self._cut(data, position)
        if position < end:
            self._rest += data[position:]

    def _cut(self, data: memoryview, position: int) -> int:
        """Hand on the frames that are there, and of data what is there; returns where that ends."""
        told, unpack, end = self._told, frames.HEAD.unpack_from, len(data)
        while position < end:
            if not self._data_left:
                if end - position < frames.HEAD_BYTES:
                    break
                high, low, kind, flags, stream_id = unpack(data, position)
                length, stream_id = high << 8 | low, stream_id & frames.MAX_STREAM
                if length > self._max_bytes:
                    raise ConnectionFault(Error.FRAME_SIZE_ERROR, f"a frame holds at most {self._max_bytes} bytes")
                start = position + frames.HEAD_BYTES
                if kind != frames.DATA or flags & frames.PADDED:
                    if start + length > end:
                        break
                    position = start + length
                    told.frame(kind, flags, stream_id, data[start:position])
                    continue
                told.begin_data(length, stream_id)
                position, self._data_left, self._data_flags = start, length, flags
            size = min(self._data_left, end - position)
            if size:
                told.parts.append(data[position : position + size])
                self._data_left -= size
                position += size
            if not self._data_left and self._data_flags & frames.END_STREAM:
                told.end_data()
        return position

    def _complete(self, data: memoryview, position: int) -> int:
        """Add to a frame that has begun; returns where the next begins, or its data goes on."""
        rest = self._rest
        position = self._gather(frames.HEAD_BYTES, data, position)
        if len(rest) == frames.HEAD_BYTES and self._cut(memoryview(bytes(rest)), 0):
            rest.clear()
        elif len(rest) >= frames.HEAD_BYTES:
            size = frames.HEAD_BYTES + frames.read_head(rest, 0)[0]
            position = self._gather(size, data, position)
            if len(rest) == size:
                whole = memoryview(bytes(rest))
                rest.clear()
                self._cut(whole, 0)
        return position

    def _gather(self, size: int, data: memoryview, position: int) -> int:
        taken = max(0, min(size - len(self._rest), len(data) - position))
        self._rest += data[position : position + taken]
        return position + taken
