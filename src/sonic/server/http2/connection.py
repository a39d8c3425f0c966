"""One connection: frames in, events out; answers in, frames out (RFC 9113).

Bytes that were received are looked at where they lie: data is handed on in the pieces that came, which are valid only
during the call, and those of frames that follow each other together. Everything is done in one thread.

Against peers that mean harm: frames, header lists and streams have a largest size or number; streams that are opened
only to be reset are counted; who writes has to stop reading while the peer does not take what is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from sonic.server.http2 import frames
from sonic.server.http2.frames import ConnectionFault, Error, StreamFault
from sonic.server.http2.framing import Framing
from sonic.server.http2.headers import HeaderReader
from sonic.server.http2.limits import Limits, Patience
from sonic.server.http2.sending import Sending
from sonic.server.http2.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.server.http2.headers import Headers
    from sonic.server.http2.stream import Buffer

Head = TypeVar("Head")
Opened = TypeVar("Opened", contravariant=True)

_INTERRUPTED = "headers are not continued"


class Receiver(Protocol[Opened]):
    """Whoever is told what the peer does."""

    def opened(self, stream: Stream, head: Opened) -> None:
        """Take a stream that begins; ``stream.ended`` if it has no data."""

    def received(self, stream: Stream, parts: Sequence[memoryview]) -> None:
        """Take some of a stream's data, valid during the call; ``stream.ended`` if it is the last."""

    def reset(self, stream: Stream) -> None:
        """Hear that the peer has given a stream up."""


class Connection(Generic[Head]):
    """The server's end of a connection.

    Parameters
    ----------
    receiver : Receiver
    meaning : callable
        What a list of headers means to the receiver; its result is what ``opened`` is given.
    limits : Limits

    Attributes
    ----------
    out : list of bytes-like
        What is to be written, in this order; whoever writes it empties the list.
    over : bool
        Whether nothing more is read: the connection is to be closed once all is written.
    parts : list of memoryview
        Data of one stream that has come and is yet to be handed on.
    refusing : bool
        Whether no more streams are taken.
    streams : dict of int to Stream
        Those that are not over.
    """

    def __init__(
        self, receiver: Receiver[Head], meaning: Callable[[Headers], Head], limits: Limits | None = None
    ) -> None:
        self._receiver = receiver
        self._limits = limits = limits or Limits()
        self._headers: HeaderReader[Head] = HeaderReader(limits.header_bytes, meaning)
        self.streams: dict[int, Stream] = {}
        self.over = False
        self._last = 0  # highest stream that the peer has opened
        self.refusing = False
        self._framing = Framing(self, limits.frame_bytes)
        self.parts: list[memoryview] = []  # of data, to be handed on
        self._data_stream: Stream | None = None
        self._block: tuple[int, bool, bytearray] | None = None  # stream, its end, and headers of which more has to come
        self._receive_window = frames.MAX_WINDOW
        self._sending = Sending(self._finish)
        self._patience = Patience(limits)
        self.out = self._sending.out
        self.out += [
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: limits.streams,
                    frames.INITIAL_WINDOW_SIZE: limits.window_bytes,
                    frames.MAX_FRAME_SIZE: limits.frame_bytes,
                    frames.MAX_HEADER_LIST_SIZE: limits.header_bytes,
                }
            ),
            frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW),
        ]

    @property
    def begun(self) -> bool:
        """Whether the peer has said that it speaks HTTP/2."""
        return self._framing.begun

    # ---- from the peer ----------------------------------------------------------------------------------------------

    def receive(self, data: memoryview) -> None:
        """Look at bytes that came."""
        if self.over:
            return
        try:
            self._framing.feed(data)
            if self.parts:
                self._hand_on()
        except ConnectionFault as fault:
            self.out.append(frames.goaway(self._last, fault.code, str(fault)))
            self.close()

    def close(self) -> None:
        """End every stream: the connection is gone, or to be closed."""
        self.over = True
        for stream in list(self.streams.values()):
            self._give_up(stream.id)

    def refuse(self) -> None:
        """Take no more streams, and say so."""
        if not self.refusing and not self.over:
            self.refusing = True
            self.out.append(frames.goaway(self._last, Error.NO_ERROR))

    # ---- frames, as they come ---------------------------------------------------------------------------------------

    def frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        """Take a frame that is not plain data."""
        if self.parts:
            self._hand_on()
        if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block[0]):
            raise ConnectionFault(Error.PROTOCOL_ERROR, _INTERRUPTED)
        try:
            if kind == frames.HEADERS:
                self._on_headers(flags, stream_id, payload)
            elif kind == frames.DATA:
                content = _unpadded(payload)
                self.begin_data(len(payload), stream_id)
                self.credit(self._data_stream, len(payload) - len(content))
                if content or flags & frames.END_STREAM:
                    self.parts.append(content)
                    self._hand_on(last=bool(flags & frames.END_STREAM))
            elif kind == frames.WINDOW_UPDATE:
                self._on_window_update(stream_id, payload)
            elif kind == frames.RST_STREAM:
                self._on_reset(stream_id, payload)
            elif kind == frames.SETTINGS:
                self._on_settings(flags, stream_id, payload)
            elif kind == frames.PING:
                if len(payload) != 8 or stream_id:
                    raise ConnectionFault(
                        Error.PROTOCOL_ERROR if stream_id else Error.FRAME_SIZE_ERROR, "this is no ping"
                    )
                if not flags & frames.ACK:
                    self.out.append(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))
            elif kind == frames.CONTINUATION:
                self._on_continuation(flags, payload)
            elif kind == frames.PUSH_PROMISE:
                raise ConnectionFault(Error.PROTOCOL_ERROR, "clients do not push")
            elif kind in (frames.PRIORITY, frames.GOAWAY):
                if (kind == frames.PRIORITY) != bool(stream_id):
                    raise ConnectionFault(Error.PROTOCOL_ERROR, f"frame of kind {kind} on stream {stream_id}")
                if kind == frames.PRIORITY and len(payload) != 5:
                    raise StreamFault(Error.FRAME_SIZE_ERROR, stream_id)
                if kind == frames.GOAWAY and len(payload) < 8:
                    raise ConnectionFault(Error.FRAME_SIZE_ERROR, "this is no farewell")
            # What a priority says is not heeded; of a peer that goes away the streams go on; other kinds are unknown.
        except StreamFault as fault:
            self._cut(fault.stream, fault.code)

    def begin_data(self, length: int, stream_id: int) -> None:
        """Hear that data begins."""
        if self._block is not None:
            raise ConnectionFault(Error.PROTOCOL_ERROR, _INTERRUPTED)
        stream = self.streams.get(stream_id)
        if self.parts and stream is not self._data_stream:
            self._hand_on()
        if stream is None and (stream_id > self._last or not stream_id % 2):
            raise ConnectionFault(Error.PROTOCOL_ERROR, f"data on stream {stream_id}, which nobody has opened")
        self._receive_window -= length  # and never all of it: no frame is as long as the half
        if self._receive_window < frames.MAX_WINDOW // 2:
            self.out.append(frames.window_update(0, frames.MAX_WINDOW - self._receive_window))
            self._receive_window = frames.MAX_WINDOW
        if stream is not None:
            stream.receive_window -= length
            if stream.receive_window < 0 or stream.ended:
                code = Error.STREAM_CLOSED if stream.ended else Error.FLOW_CONTROL_ERROR
                self._cut(stream_id, code)
                stream = None
        self._data_stream = stream

    def end_data(self) -> None:
        """Hear that a stream's data is complete."""
        self._hand_on(last=True)

    def _hand_on(self, *, last: bool = False) -> None:
        """Give the receiver what has come of one stream."""
        parts = self.parts
        self.parts = []
        stream = self._data_stream
        if stream is not None and not stream.closed:
            stream.ended = last
            self._receiver.received(stream, parts)

    def _on_headers(self, flags: int, stream_id: int, payload: memoryview) -> None:
        if flags & frames.PADDED:
            payload = _unpadded(payload)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(Error.FRAME_SIZE_ERROR, "headers that are too short for their priority")
            payload = payload[5:]
        if not stream_id % 2:
            raise ConnectionFault(Error.PROTOCOL_ERROR, f"a client opens no stream {stream_id}")
        ended = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, ended, bytes(payload))
        else:
            self._block = stream_id, ended, bytearray(payload)

    def _on_continuation(self, flags: int, payload: memoryview) -> None:
        if self._block is None:
            raise ConnectionFault(Error.PROTOCOL_ERROR, "there are no headers to continue")
        stream_id, ended, block = self._block
        block += payload
        if len(block) > self._headers.max_bytes or not payload:  # empty ones could go on for ever
            raise ConnectionFault(Error.ENHANCE_YOUR_CALM, f"headers are at most {self._limits.header_bytes} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(stream_id, ended, bytes(block))

    def _on_block(self, stream_id: int, ended: bool, block: bytes) -> None:
        if stream_id <= self._last:
            self._on_trailers(stream_id, ended, block)
            return
        self._last = stream_id
        head = self._headers.read(block, stream_id)  # in any case, or the table would be out of step
        if self.refusing or len(self.streams) >= self._limits.streams:
            self.out.append(frames.reset(stream_id, Error.REFUSED_STREAM))
            return
        stream = self.streams[stream_id] = Stream(stream_id, self._limits.window_bytes, self._sending.initial_window)
        stream.ended = ended
        self._receiver.opened(stream, head)

    def _on_trailers(self, stream_id: int, ended: bool, block: bytes) -> None:
        """Take what a request ends with, which says nothing here, or what comes of a stream that is over."""
        self._headers.read(block, stream_id, trailers=True)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if not ended or stream.ended:
            raise StreamFault(Error.PROTOCOL_ERROR, stream_id)
        stream.ended = True
        self._receiver.received(stream, ())

    def _on_window_update(self, stream_id: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Error.FRAME_SIZE_ERROR, "this is no window update")
        increment = frames.read_long(payload) & frames.MAX_WINDOW
        if not stream_id:
            self._sending.widen(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id > self._last:
                raise ConnectionFault(Error.PROTOCOL_ERROR, f"a window of stream {stream_id}, which nobody has opened")
            return
        self._sending.widen_stream(stream, increment)

    def _on_reset(self, stream_id: int, payload: memoryview) -> None:
        if len(payload) != 4 or not stream_id or stream_id > self._last:
            code = Error.FRAME_SIZE_ERROR if len(payload) != 4 else Error.PROTOCOL_ERROR
            raise ConnectionFault(code, f"a reset of stream {stream_id}, of {len(payload)} bytes")
        self._lose(stream_id)

    def _on_settings(self, flags: int, stream_id: int, payload: memoryview) -> None:
        if stream_id:
            raise ConnectionFault(Error.PROTOCOL_ERROR, "settings are the connection's")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(Error.FRAME_SIZE_ERROR, "these are no settings")
        if flags & frames.ACK:
            return
        grown = 0
        # Of one that is given several times the last counts, and each looks at every stream.
        for setting, value in dict(frames.read_settings(payload)).items():
            if setting == frames.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise ConnectionFault(Error.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
                self._patience.look(len(self.streams))  # a frame of 15 bytes makes work for every stream
                grown = self._sending.reset_windows(value, self.streams.values())
            elif setting == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME <= value <= frames.MAX_FRAME:
                    raise ConnectionFault(Error.PROTOCOL_ERROR, f"frames of {value} bytes")
                self._sending.frame_bytes = value
            elif setting == frames.HEADER_TABLE_SIZE:
                self._sending.reset_table(value)
            elif setting == frames.ENABLE_PUSH and value > 1:
                raise ConnectionFault(Error.PROTOCOL_ERROR, f"push is 0 or 1, given {value}")
        self.out.append(frames.SETTINGS_ACK)
        if grown:  # only now: until the peer has seen that, more data than before is too much for it
            self._sending.go_on(list(self.streams.values()))

    # ---- to the peer ------------------------------------------------------------------------------------------------

    def credit(self, stream: Stream | None, size: int) -> None:
        """Let the peer send so many bytes more, in place of some that have been dealt with."""
        if stream is None or stream.ended or stream.closed:
            return
        stream.uncredited += size
        if stream.uncredited > self._limits.window_bytes // 2:
            self.out.append(frames.window_update(stream.id, stream.uncredited))
            stream.receive_window += stream.uncredited
            stream.uncredited = 0

    def send_headers(self, stream: Stream, block: bytes, *, last: bool = False) -> None:
        """Send a block of headers."""
        self._sending.headers(stream, block, last=last)

    def send(self, stream: Stream, parts: Sequence[Buffer], trailers: bytes | None = None) -> None:
        """Send data, now or when the peer takes it; with `trailers`, a block of headers, the stream then ends.

        The parts are not copied: nobody may change them later.
        """
        self._sending.data(stream, parts, trailers)

    def drop(self, stream: Stream) -> None:
        """Forget the data of a stream that still waits for the peer to take it."""
        self._sending.drop(stream)

    def _finish(self, stream: Stream) -> None:
        if not stream.ended:  # what else it would send nobody wants
            self.out.append(frames.reset(stream.id, Error.NO_ERROR))
        self._patience.answered()
        self._forget(stream)
        stream.owner = None

    def _cut(self, stream_id: int, code: Error) -> None:
        """End a stream for what the peer did on it, which to it may be as good as a reset of its own."""
        self.out.append(frames.reset(stream_id, code))
        self._lose(stream_id)

    def _lose(self, stream_id: int) -> None:
        """Give up a stream that the peer wants no answer of, unless it has had that."""
        if stream_id in self.streams:
            self._patience.reset()
            self._give_up(stream_id)

    def _give_up(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
            self._receiver.reset(stream)
            stream.owner = None  # which mostly knows the stream: a circle

    def _forget(self, stream: Stream) -> None:
        stream.closed = True
        self._sending.forget(stream)
        self.streams.pop(stream.id, None)
        if stream.drained is not None:
            stream.drained()


def _unpadded(payload: memoryview) -> memoryview:
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(Error.PROTOCOL_ERROR, "more padding than there is payload")
    return payload[1 : len(payload) - payload[0]]
