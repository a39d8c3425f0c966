"""Objects between two processes, over a pair of connected sockets.

A message is a head, its pickle, and the memory of its arrays beside the pickle (PEP 574), each from a multiple of 64
bytes on. The receiver reads it into one piece of memory, of which the arrays are views.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

_HEAD = struct.Struct("<qII")
"""Tag, length of the pickle, number of arrays; their lengths follow, 8 bytes each."""

_ALIGNMENT = 64
_AT_ONCE_BYTES = 1 << 20

CONTROL = -1
"""Tag of messages that are not of a chunk."""


class Packed:
    """A message as it came.

    Attributes
    ----------
    tag : int
        Number of the chunk that it is about, or :data:`CONTROL`.
    """

    __slots__ = ("_data", "_lengths", "tag")

    def __init__(self, tag: int, lengths: tuple[int, ...], data: bytearray) -> None:
        self.tag = tag
        self._lengths = lengths
        self._data = data

    def open(self) -> Any:
        """Make the object. Its arrays share the memory of the message."""
        view, at, parts = memoryview(self._data), 0, []
        for length in self._lengths:
            parts.append(view[at : at + length])
            at += _padded(length)
        return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - from a process that we started


class Channel:
    """One end of the pair. Sending is thread-safe, receiving is for one thread at a time.

    Parameters
    ----------
    end : socket
        Closed by :meth:`close`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._sending = threading.Lock()

    def send(self, message: object, tag: int = CONTROL) -> None:
        """Send, and wait while the other end does not read.

        Raises
        ------
        OSError
            If the other end is gone.
        PicklingError, TypeError, AttributeError
            If the object cannot be pickled.
        """
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        parts = [memoryview(head), *(array.raw() for array in arrays)]
        lengths = [part.nbytes for part in parts]
        pieces: list[Any] = [_HEAD.pack(tag, lengths[0], len(arrays)), struct.pack(f"<{len(arrays)}Q", *lengths[1:])]
        for part, length in zip(parts, lengths, strict=True):
            pieces += [part, bytes(_padded(length) - length)]
        with self._sending:
            self._end.sendall(b"".join(pieces))

    def receive(self) -> Packed:
        """Wait for a message.

        Raises
        ------
        EOFError
            If the other end is gone, perhaps in the middle of one.
        """
        tag, head, count = _HEAD.unpack(self._read(_HEAD.size))
        lengths = (head, *struct.unpack(f"<{count}Q", self._read(8 * count)))
        return Packed(tag, lengths, self._read(sum(map(_padded, lengths))))

    def shut(self) -> None:
        """End it for both ends, whoever waits at it; to be closed all the same."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was quicker

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            try:
                got = self._end.recv_into(view[at : at + _AT_ONCE_BYTES])
            except OSError as error:
                raise EOFError(str(error)) from error
            if not got:
                raise EOFError("the other end is gone")
            at += got
        return data


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
