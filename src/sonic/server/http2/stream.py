"""One stream: a request and its answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Buffer = bytes | bytearray | memoryview


class Stream:
    """What a connection knows of a stream; whoever receives it may hang its own state on ``owner``.

    Attributes
    ----------
    id : int
    receive_window, send_window : int
        Bytes that the peer may still send, and takes.
    uncredited : int
        Bytes that have been dealt with, for which the peer may not send others yet.
    owner : Any
    ended : bool
        Whether the peer has sent all of its part.
    closed : bool
        Whether it is over, for whatever reason: nothing more is sent.
    outbox : deque of bytes-like
        What waits for the peer to take more.
    queued_bytes : int
        Bytes of that.
    trailers : bytes or None
        Block of headers to be sent after it, which ends the stream.
    drained : callable or None
        Called when nothing waits any more, or the stream is over.
    """

    __slots__ = (
        "closed",
        "drained",
        "ended",
        "id",
        "outbox",
        "owner",
        "queued_bytes",
        "receive_window",
        "send_window",
        "trailers",
        "uncredited",
    )

    def __init__(self, id: int, receive_window: int, send_window: int) -> None:  # noqa: A002 - the protocol's word
        self.id = id
        self.receive_window = receive_window
        self.send_window = send_window
        self.owner: Any = None
        self.ended = False
        self.closed = False
        self.uncredited = 0
        self.outbox: deque[Buffer] = deque()
        self.queued_bytes = 0
        self.trailers: bytes | None = None
        self.drained: Callable[[], None] | None = None
