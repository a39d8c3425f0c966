"""The bodies of requests as they come in: of a length that is known, in chunks, or not wanted.

Copies: a body of known length is read into its place by the kernel, but for the part that comes in one read with its
head. Tensors are views of it; where the head says how long the JSON before them is, the place is chosen such that
they are aligned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from sonic.server.http.head import BadMessage

if TYPE_CHECKING:
    from sonic.server.http.answer import Answer

    Data = bytes | bytearray

ALIGNMENT = 16
"""Of what malloc returns, in bytes; no number of the protocol needs more."""

RESERVE_BYTES = 1 << 26
"""How much room a body gets beforehand. It is an address range: memory is taken up only as bytes come in."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r]*)?")
_MAX_LINE = 4096
_MAX_TRAILER = 1 << 16


class Body:
    """A body of known length.

    Parameters
    ----------
    size : int
        Bytes; more than 0.
    prefix : int
        Bytes at its beginning after which it is to be aligned.

    Attributes
    ----------
    received, missing : int
        Bytes that came, and that did not yet.
    """

    __slots__ = ("_prefix", "_view", "missing", "received")

    def __init__(self, size: int, prefix: int = 0) -> None:
        self.missing = size
        self.received = 0
        self._prefix = prefix
        self._view = _room(min(size, RESERVE_BYTES), prefix)

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return not self.missing

    def take(self, data: Data, start: int, stop: int) -> int:
        """Take from `data` what belongs to it; return where the rest starts."""
        have = self.received
        count = min(stop - start, self.missing)
        while len(self._view) < have + count:
            self._grow()
        self._view[have : have + count] = memoryview(data)[start : start + count]
        self.received += count
        self.missing -= count
        return start + count

    def room(self) -> memoryview:
        """Return where the next bytes belong; not empty while some are missing."""
        if self.received == len(self._view):
            self._grow()
        return self._view[self.received :]

    def filled(self, count: int) -> None:
        """Count bytes that were written to :meth:`room`."""
        self.received += count
        self.missing -= count

    def content(self) -> memoryview:
        """Return all of it, read-only."""
        return self._view.toreadonly()

    def _grow(self) -> None:
        have = self.received
        larger = _room(min(have + self.missing, 2 * len(self._view)), self._prefix)
        larger[:have] = self._view[:have]
        self._view = larger


class ChunkedBody:
    """A body in chunks.

    Parameters
    ----------
    max_bytes : int
    """

    __slots__ = ("_content", "_left", "_line", "_max_bytes", "_state", "_trailer")

    def __init__(self, max_bytes: int) -> None:
        self._content = bytearray()
        self._max_bytes = max_bytes
        self._state = "size"  # size, data, end (of a chunk), trailer, complete
        self._left = 0  # of the chunk
        self._line = bytearray()  # what there is of the next one
        self._trailer = 0

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self._state == "complete"

    @property
    def received(self) -> int:
        """Bytes that are there."""
        return len(self._content)

    def take(self, data: Data, start: int, stop: int) -> int:
        """Take from `data` what belongs to it; return where the rest starts.

        Raises
        ------
        BadMessage
            If the chunks make no sense, or hold too much.
        """
        while start < stop and self._state != "complete":
            if self._state == "data":
                count = min(stop - start, self._left)
                self._content += memoryview(data)[start : start + count]
                self._left -= count
                start += count
                if not self._left:
                    self._state = "end"
                continue
            end = data.find(b"\n", start, stop)
            after = stop if end < 0 else end + 1
            self._line += memoryview(data)[start:after]
            start = after
            if len(self._line) > _MAX_LINE:
                raise BadMessage(f"a line between chunks has at most {_MAX_LINE} bytes")
            if end >= 0:
                line, self._line = bytes(self._line), bytearray()
                if not line.endswith(b"\r\n"):
                    raise BadMessage("a line between chunks ends in CR LF")
                self._read(line[:-2])
        return start

    def content(self) -> memoryview:
        """Return all of it, read-only."""
        return memoryview(self._content).toreadonly()

    def _read(self, line: bytes) -> None:
        if self._state == "end":
            if line:
                raise BadMessage("a chunk is longer than it says")
            self._state = "size"
        elif self._state == "trailer":
            self._trailer += len(line)
            if self._trailer > _MAX_TRAILER:
                raise BadMessage(f"a trailer has at most {_MAX_TRAILER} bytes", 431)
            if not line:
                self._state = "complete"
        elif (size := _SIZE.fullmatch(line)) is None:
            raise BadMessage(f"the size of a chunk is a hexadecimal number, given {line[:40].decode('latin-1')!r}")
        else:
            self._left = int(size[1], 16)
            self._state = "data" if self._left else "trailer"
            if len(self._content) + self._left > self._max_bytes:
                raise BadMessage(f"a body holds at most {self._max_bytes} bytes")


class UnwantedBody:
    """A body of a request that is refused: it is read so that the next request can be, and not kept.

    Parameters
    ----------
    size : int
        Bytes; more than 0.
    answer : Answer
        What the client is answered when all of it came.

    Attributes
    ----------
    answer : Answer
    received : int
        Bytes that came.
    """

    __slots__ = ("_left", "answer", "received")

    def __init__(self, size: int, answer: Answer) -> None:
        self._left = size
        self.answer = answer
        self.received = 0

    @property
    def complete(self) -> bool:
        """Whether all of it came."""
        return not self._left

    def take(self, _: Data, start: int, stop: int) -> int:
        """Skip what belongs to it; return where the rest starts."""
        count = min(stop - start, self._left)
        self._left -= count
        self.received += count
        return start + count


def _room(size: int, prefix: int) -> memoryview:
    pad = -prefix % ALIGNMENT
    return np.empty(pad + size, np.uint8).data[pad:]  # which is not set to zero
