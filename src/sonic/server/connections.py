"""The open connections of a front, until the last of them has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ending(Protocol):
    """A connection, as far as it is brought to an end."""

    def end(self) -> None:
        """Close it once what is in hand is answered; at once if nothing is."""

    def abort(self) -> None:
        """Close it, whatever it does."""


C = TypeVar("C", bound=Ending)


class OpenConnections(Generic[C]):
    """Those that are open. For the event loop."""

    def __init__(self) -> None:
        self._open: set[C] = set()
        self._none_left = asyncio.Event()
        self._ending = False

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[C]:
        """Iterate over those that are open now; they may end meanwhile."""
        return iter([*self._open])

    def add(self, connection: C) -> None:
        """Count a connection among them."""
        self._open.add(connection)
        if self._ending:
            connection.end()

    def discard(self, connection: C) -> None:
        """Count it no more."""
        self._open.discard(connection)
        if not self._open:
            self._none_left.set()

    async def end(self, grace_s: float) -> None:
        """Close those with nothing in hand at once, the others when it is answered, or after so many seconds."""
        self._ending = True
        for connection in self:
            connection.end()
        self._none_left.clear()  # there may have been none before
        if self._open:
            try:
                await asyncio.wait_for(self._none_left.wait(), grace_s)
            except TimeoutError:
                for connection in self:
                    connection.abort()
