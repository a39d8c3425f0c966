"""Bytes into frames. Data is not gathered: its pieces are views of the bytes that came."""

from __future__ import annotations

from typing import Protocol

from sonic.server.http2 import frames
from sonic.server.http2.frames import ConnectionFault, Error


class Framed(Protocol):
    """Whoever is told of frames, in their order."""

    def begin_frame(self, kind: int, stream_id: int) -> None:
        """Look at the head of a frame, of whatever kind."""

    def begin_data(self, length: int, flags: int, stream_id: int) -> None:
        """Hear that a frame of data begins, without padding."""

    def data(self, part: memoryview, *, last: bool) -> None:
        """Take a piece of it, valid until all bytes that came have been looked at; `last`: whether it is complete."""

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
        told = self._told
        while position < end:
            if self._data_left:
                size = min(self._data_left, end - position)
                self._data_left -= size
                told.data(data[position : position + size], last=not self._data_left)
                position += size
                continue
            if end - position < frames.HEAD_BYTES:
                break
            length, kind, flags, stream_id = frames.read_head(data, position)
            stop = position + frames.HEAD_BYTES + length
            if self._begin(length, kind, flags, stream_id):
                position += frames.HEAD_BYTES
            elif stop > end:
                break
            else:
                told.frame(kind, flags, stream_id, data[position + frames.HEAD_BYTES : stop])
                position = stop
        if position < end:
            self._rest += data[position:]

    def _begin(self, length: int, kind: int, flags: int, stream_id: int) -> bool:
        """Look at a head; returns whether data follows, to be handed on as it comes."""
        if length > self._max_bytes:
            raise ConnectionFault(Error.FRAME_SIZE_ERROR, f"a frame holds at most {self._max_bytes} bytes")
        self._told.begin_frame(kind, stream_id)
        if kind != frames.DATA or flags & frames.PADDED:
            return False
        self._told.begin_data(length, flags, stream_id)
        self._data_left = length
        if not length:
            self._told.data(memoryview(b""), last=True)
        return True

    def _complete(self, data: memoryview, position: int) -> int:
        """Add to a frame that has begun; returns where the next begins."""
        rest = self._rest
        position = self._gather(frames.HEAD_BYTES, data, position)
        if len(rest) < frames.HEAD_BYTES:
            return position
        length, kind, flags, stream_id = frames.read_head(rest, 0)
        if self._begin(length, kind, flags, stream_id):
            rest.clear()
            return position
        position = self._gather(frames.HEAD_BYTES + length, data, position)
        if len(rest) == frames.HEAD_BYTES + length:
            payload = bytes(rest[frames.HEAD_BYTES :])
            rest.clear()
            self._told.frame(kind, flags, stream_id, memoryview(payload))
        return position

    def _gather(self, size: int, data: memoryview, position: int) -> int:
        taken = max(0, min(size - len(self._rest), len(data) - position))
        self._rest += data[position : position + taken]
        return position + taken
