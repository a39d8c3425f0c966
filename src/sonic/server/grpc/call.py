"""A call of a client, as its handler sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sonic.errors import InvalidRequest
from sonic.server.failures import foreseen
from sonic.server.grpc import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sonic.server.grpc.wire import Buffer, Head, Message
    from sonic.server.http2 import Stream


class Handler(Protocol):
    """What deals with the calls of a method. Everything is called in the thread of the event loop, and must not wait.

    Attributes
    ----------
    max_bytes : int
        Largest message, decompressed.
    streams : bool
        Whether a call may have any number of messages. Otherwise it has one, which comes once the client has sent all.
    """

    max_bytes: int
    streams: bool

    def opened(self, call: Call) -> None:
        """Let a call begin, or raise what it ends in."""

    def message(self, call: Call, message: Message) -> None:
        """Take a message of a call."""

    def ended(self, call: Call) -> None:
        """Hear that the client of a call that streams sends no more."""


class Line(Protocol):
    """The connection, as a call needs it.

    Attributes
    ----------
    peer : str
        Address of the client; empty for one on a Unix domain socket.
    """

    peer: str

    def soon(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, from any thread."""

    def promptly(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, at once if this is it."""

    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        """Calls what it is given when the event loop has dealt with what came at once."""

    def aside(self, action: Callable[..., None], *given: object) -> None:
        """Do something in another thread."""

    def credit(self, stream: Stream, size: int) -> None:
        """Let the client send more."""

    def answer(self, stream: Stream, opening: bytes | None, parts: Sequence[Buffer], trailers: bytes | None) -> None:
        """Send headers, data and trailers, of which there may be none."""

    def fail(self, stream: Stream, trailers: bytes) -> None:
        """Send headers that end a call; what was to be sent before is dropped."""


class Call:
    """One call. For the thread of the event loop, but for :meth:`soon`, :meth:`promptly` and where it says otherwise.

    Attributes
    ----------
    head : Head
    peer : str
        Address of the client; empty for one on a Unix domain socket.
    over : bool
        Whether it was answered, or its client is gone.
    state : Any
        For its handler.
    resting : bool
        Whether it has nothing to do until its client says more: of one that streams, as its handler says.
    """

    __slots__ = (
        "_callbacks",
        "_connection",
        "_held",
        "_inbox",
        "_message",
        "_opened",
        "_stream",
        "handler",
        "head",
        "resting",
        "state",
    )

    def __init__(self, connection: Line, stream: Stream, head: Head, handler: Handler) -> None:
        self._connection = connection
        self._stream = stream
        self._inbox = wire.Inbox(handler.max_bytes, head.encoding)
        self._callbacks: list[Callable[[], object]] = []
        self._opened = False
        self._message: Message | None = None  # the one of a call that does not stream
        self._held = -1  # bytes that came while the client is to wait; -1: it is not
        self.head = head
        self.handler = handler
        self.state: Any = None
        self.resting = False

    @property
    def peer(self) -> str:
        """Address of the client; empty for one on a Unix domain socket."""
        return self._connection.peer

    @property
    def over(self) -> bool:
        """Whether it was answered, or its client is gone."""
        return self._stream.closed

    @property
    def queued_bytes(self) -> int:
        """What has yet to be taken by the client."""
        return self._stream.queued_bytes

    # ---- from the client --------------------------------------------------------------------------------------------

    def received(self, parts: Sequence[memoryview]) -> None:
        """Take bytes that came, valid during the call."""
        self.resting = False
        try:
            if self._held >= 0:
                self._held += sum(map(len, parts))
            elif not self._stream.ended:
                self._connection.credit(self._stream, sum(map(len, parts)))
            for message in self._inbox.feed(parts):
                self._take(message)
            if self._stream.ended and not self.over:
                self._end()
        except Exception as error:  # noqa: BLE001 - the call ends in it
            self.fail(error)

    def gone(self) -> None:
        """Take back what was begun: the client is gone, or wants no answer any more."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _take(self, message: Message) -> None:
        if self.handler.streams:
            self.handler.message(self, message)
        elif self._message is not None:
            raise InvalidRequest("a call of this method has one message, given several")
        else:
            self._message = message

    def _end(self) -> None:
        if not self._inbox.empty:
            raise InvalidRequest("the call ends within a message")
        if self.handler.streams:
            self.handler.ended(self)
            return
        message, self._message = self._message, None
        if message is None:
            raise InvalidRequest("a call of this method has one message, given none")
        self.handler.message(self, message)

    # ---- to the client ----------------------------------------------------------------------------------------------

    def soon(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, from any thread."""
        self._connection.soon(action, *given)

    def promptly(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, from any thread; at once if this is it."""
        self._connection.promptly(action, *given)

    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        """Calls what it is given when the event loop has dealt with what came at once."""
        return self._connection.call_soon

    def aside(self, action: Callable[..., None], *given: object) -> None:
        """Do something in another thread."""
        self._connection.aside(action, *given)

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Have something done when the client gives the call up before it was answered."""
        if self.over:
            callback()
        else:
            self._callbacks.append(callback)

    def hold(self) -> None:
        """Let the client send what it may already send, and then wait."""
        self._held = max(self._held, 0)

    def release(self) -> None:
        """Let it go on."""
        held, self._held = self._held, -1
        if held > 0:
            self._connection.credit(self._stream, held)

    def on_drained(self, callback: Callable[[], None] | None) -> None:
        """Have something done when the client has taken all that was sent."""
        self._stream.drained = callback

    def send(self, parts: Sequence[Buffer], *, last: bool = False) -> None:
        """Send a message, in parts that nobody changes any more; with `last` the call has then gone well."""
        size = sum(map(len, parts))
        self._connection.answer(
            self._stream,
            None if self._opened else wire.OPENING,
            (wire.prefix(size), *parts),
            wire.DONE if last else None,
        )
        self._opened = True
        if last:
            self._callbacks.clear()

    def finish(self) -> None:
        """End the call: it has gone well."""
        self._connection.answer(self._stream, None if self._opened else wire.OPENING, (), wire.DONE)
        self._callbacks.clear()

    def fail(self, error: BaseException) -> None:
        """End the call in an error."""
        ending = wire.failure(foreseen(error, "a gRPC call"), opened=self._opened)
        self._connection.fail(self._stream, ending)
        self.gone()
