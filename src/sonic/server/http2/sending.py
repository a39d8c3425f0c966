"""The way to the peer: as much as its windows allow at once, the rest as they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.server.http2 import frames
from sonic.server.http2.frames import ConnectionFault, Error, StreamFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sonic.server.http2.stream import Buffer, Stream

_NO_TABLE = b"\x20"
"""Before headers: their reader need keep no table (RFC 7541, sections 4.2 and 6.3)."""


class Sending:
    """What is sent on a connection.

    Parameters
    ----------
    finish : callable
        Called with a stream of which everything has been sent.

    Attributes
    ----------
    out : list of bytes-like
        What is to be written, in this order; whoever writes it empties the list.
    initial_window : int
        Bytes that the peer takes of a new stream.
    frame_bytes : int
        Largest frame that it takes.
    """

    def __init__(self, finish: Callable[[Stream], None]) -> None:
        self.out: list[Buffer] = []
        self.initial_window = frames.DEFAULT_WINDOW
        self.frame_bytes = frames.DEFAULT_FRAME
        self._finish = finish
        self._window = frames.DEFAULT_WINDOW
        self._blocked: dict[int, Stream] = {}  # that wait for the connection's window alone
        self._table_update = b""  # what the next block of headers begins with

    def headers(self, stream: Stream, block: bytes, *, last: bool = False) -> None:
        """Send a block of headers."""
        if stream.closed:
            return
        if self._table_update:
            block, self._table_update = self._table_update + block, b""
        flags = frames.END_HEADERS | (frames.END_STREAM if last else 0)
        self.out.append(frames.frame(frames.HEADERS, flags, stream.id, block))
        if last:
            self._finish(stream)

    def data(self, stream: Stream, parts: Sequence[Buffer], trailers: bytes | None = None) -> None:
        """Send data, now or when the peer takes it; with `trailers`, a block of headers, the stream then ends.

        The parts are not copied: nobody may change them later.
        """
        if stream.closed:
            return
        stream.outbox.extend(parts)
        stream.queued_bytes += sum(map(len, parts))
        stream.trailers = trailers
        self._send_on(stream)

    def drop(self, stream: Stream) -> None:
        """Forget the data of a stream that still waits for the peer to take it."""
        stream.outbox.clear()
        stream.queued_bytes = 0

    def forget(self, stream: Stream) -> None:
        """Send nothing more of a stream."""
        self.drop(stream)
        self._blocked.pop(stream.id, None)

    def widen(self, increment: int) -> None:
        """Hear that the peer takes so many bytes more of all streams together.

        Raises
        ------
        ConnectionFault
        """
        self._window += increment
        if not increment or self._window > frames.MAX_WINDOW:
            code = Error.FLOW_CONTROL_ERROR if increment else Error.PROTOCOL_ERROR
            raise ConnectionFault(code, f"a window grows by {increment}")
        # No more of them than it is wide enough for: updates of a byte each could otherwise make any amount of work.
        while self._window > 0 and self._blocked:
            self._send_on(next(iter(self._blocked.values())))

    def widen_stream(self, stream: Stream, increment: int) -> None:
        """Hear that it takes so many bytes more of one.

        Raises
        ------
        StreamFault
        """
        stream.send_window += increment
        if not increment or stream.send_window > frames.MAX_WINDOW:
            raise StreamFault(Error.FLOW_CONTROL_ERROR if increment else Error.PROTOCOL_ERROR, stream.id)
        self._send_on(stream)

    def reset_windows(self, size: int, streams: Iterable[Stream]) -> int:
        """Hear that new streams begin with another window; the windows of open ones change by the difference.

        Nothing is sent yet: the peer takes more than before only once its setting is acknowledged.

        Returns
        -------
        int
            By how much they have grown.

        Raises
        ------
        ConnectionFault
        """
        grown, self.initial_window = size - self.initial_window, size
        for stream in streams:
            stream.send_window += grown
            if stream.send_window > frames.MAX_WINDOW:
                raise ConnectionFault(Error.FLOW_CONTROL_ERROR, f"a window of {stream.send_window} bytes")
        return grown

    def reset_table(self, size: int) -> None:
        """Hear that the peer keeps a table of so many bytes for the headers that it reads.

        Nothing is ever put into it. But a peer that makes it smaller waits for the next headers to say so.
        """
        if size < frames.DEFAULT_TABLE:
            self._table_update = _NO_TABLE

    def go_on(self, streams: Iterable[Stream]) -> None:
        """Send of streams what their windows now allow."""
        for stream in streams:
            self._send_on(stream)

    def _send_on(self, stream: Stream) -> None:
        """Send of what waits as much as the peer takes."""
        size = min(stream.queued_bytes, stream.send_window, self._window)
        if size > 0:
            stream.queued_bytes -= size
            stream.send_window -= size
            self._window -= size
            self._frame(stream, size)
        if stream.queued_bytes:
            self._blocked.pop(stream.id, None)
            if stream.send_window > 0:
                # At the end of the line, so that no stream takes every byte that the peer allows.
                self._blocked[stream.id] = stream
            return
        self._blocked.pop(stream.id, None)
        if stream.trailers is not None:
            self.headers(stream, stream.trailers, last=True)
        elif stream.drained is not None:
            stream.drained()

    def _frame(self, stream: Stream, left: int) -> None:
        """Put so many bytes of what waits into frames."""
        out, outbox, pack = self.out, stream.outbox, frames.HEAD.pack
        room = 0  # of the last frame
        while left:
            part = outbox.popleft()
            if len(part) > left:
                view = memoryview(part)
                outbox.appendleft(view[left:])
                part = view[:left]
            end, start = len(part), 0
            while start < end:
                if not room:
                    room = min(left, self.frame_bytes)
                    out.append(pack(room >> 8, room & 0xFF, frames.DATA, 0, stream.id))
                size = min(room, end - start)
                out.append(part if size == end else memoryview(part)[start : start + size])
                start += size
                room -= size
                left -= size
