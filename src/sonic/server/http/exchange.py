"""One request and the way back for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sonic.server.eventloop import within
from sonic.server.failures import foreseen
from sonic.server.http.answer import refusal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from typing import Any

    from sonic.server.http.answer import Answer
    from sonic.server.http.head import Head

NOTHING = memoryview(b"")


class Handler(Protocol):
    """Answers the requests that have one head.

    Attributes
    ----------
    max_body_bytes : int
        Largest body of a request, decompressed.
    prefix : int
        Bytes at the beginning of a body after which it is to be aligned.
    """

    max_body_bytes: int
    prefix: int

    def serve(self, exchange: Exchange) -> None:
        """Answer a request, now or later. Called in the event loop, which it must not hold up.

        Raises
        ------
        SonicError
            Which is the answer.
        """


class Site(Protocol):
    """What is behind a port."""

    def admit(self, head: Head, peer: str) -> None:
        """Let a request pass, whose body is not there yet.

        Raises
        ------
        SonicError
            If it is refused.
        """

    def route(self, head: Head) -> Handler:
        """Return what answers requests that have this head. It may be kept for all that have the same bytes."""


class Owner(Protocol):
    """The connection that a request came by."""

    loop: asyncio.AbstractEventLoop
    peer: str

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer, unless the client has gone."""


class Exchange:
    """One request, until it is answered. For the event loop but where it says otherwise.

    Attributes
    ----------
    head : Head
    body : memoryview
        Read-only. Gone once the request is answered.
    future : Future or None
        What is cancelled if the client goes away.
    """

    __slots__ = ("_owner", "body", "future", "head")

    def __init__(self, owner: Owner, head: Head, body: memoryview) -> None:
        self._owner = owner
        self.head = head
        self.body = body
        self.future: Future[Any] | asyncio.Future[Any] | None = None

    @property
    def peer(self) -> str:
        """Address of the client, without its port; empty for one on a Unix domain socket."""
        return self._owner.peer

    def answer(self, answer: Answer) -> None:
        """Answer the request."""
        self.body = NOTHING
        self.future = None  # which refers to this, by what it calls in the end
        self._owner.finish(self, answer)

    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        """Calls what it is given when the event loop has dealt with what came at once."""
        return self._owner.loop.call_soon

    def answer_promptly(self, answer: Answer) -> None:
        """Answer the request in the thread of the event loop, from any thread; at once if this is it."""
        if within(self._owner.loop):
            self.answer(answer)
            return
        try:
            self._owner.loop.call_soon_threadsafe(self.answer, answer)
        except RuntimeError:
            if not self._owner.loop.is_closed():
                raise
            # Else the server has ended, and the connection with it.

    def abandon(self) -> None:
        """Give the request up: the client has gone."""
        future, self.future = self.future, None
        self.body = NOTHING
        if future is not None:
            future.cancel()

    def run(self, call: Callable[[Exchange], Awaitable[Answer]]) -> None:
        """Answer the request with what a coroutine function returns or raises for it."""
        self.future = self._owner.loop.create_task(self._answered(call))

    async def _answered(self, call: Callable[[Exchange], Awaitable[Answer]]) -> None:
        try:
            answer = await call(self)
        except Exception as error:  # noqa: BLE001 - each becomes an answer, and what is unknown is logged
            answer = explained(error)
        self.answer(answer)


def explained(error: Exception) -> Answer:
    """Return the answer that says an error; one that should not be is logged."""
    return refusal(foreseen(error, "an HTTP call"))
