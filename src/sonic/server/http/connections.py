"""All connections of a front: what they share, and when they have waited for long enough."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from sonic.server.connections import Ending, OpenConnections

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sonic.server.busypoll import BusyPoll

_SCRATCH_BYTES = 1 << 16
_SWEEP_S = 1.0
"""Between two looks at all connections, in seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much clients may ask of a connection, and how long they may take.

    Parameters
    ----------
    head_bytes : int
        Largest head, and what of further requests is kept while one is answered.
    unwanted_bytes : int
        Up to so much of a refused request's body is read, so that its connection can go on.
    head_s : float
        How long a head may take to come.
    idle_s : float
        How long there may be no request.
    stall_s, least_bytes_per_s : float
        A body may take `stall_s`, and besides the time that what has come of it takes at this rate; an answer
        likewise.
    linger_s : float
        How long to read on after an answer that ends the connection in the middle of a request.
    """

    head_bytes: int = 1 << 16
    unwanted_bytes: int = 1 << 24
    head_s: float = 30.0
    idle_s: float = 600.0
    stall_s: float = 60.0
    least_bytes_per_s: float = 16_384.0
    linger_s: float = 5.0

    def transfer_s(self, size: int) -> float:
        """How long the transfer of so many bytes may take."""
        return self.stall_s + size / self.least_bytes_per_s


class Watched(Ending, Protocol):
    """A connection, as far as it is looked after."""

    def check(self, now_s: float) -> None:
        """Give up on a client that keeps it waiting for too long."""


class Connections(OpenConnections[Watched]):
    """The connections of the HTTP front. For the event loop.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    busy_poll : BusyPoll
        To be told of requests.
    limits : Limits
    now_s : callable or None
        Returns seconds that never go back; None: the loop's clock.

    Attributes
    ----------
    scratch : bytearray
        What one connection reads into and looks at before another one does.
    date : bytes
        Line of an answer's head, of the present second.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        busy_poll: BusyPoll,
        limits: Limits | None = None,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        self.loop = loop
        self.limits = limits or Limits()
        self.now_s = now_s or loop.time
        self.busy_poll = busy_poll
        self.scratch = bytearray(_SCRATCH_BYTES)
        self.date = _date()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look after them, from now on."""
        self.sweep()
        self._timer = self.loop.call_later(_SWEEP_S, self.watch)

    def sweep(self) -> None:
        """Give up on those whose client keeps them waiting for too long."""
        self.date = _date()
        now_s = self.now_s()
        for connection in self:
            connection.check(now_s)

    async def end(self, grace_s: float) -> None:
        """Close them as :class:`OpenConnections` does, and look after them no more."""
        await super().end(grace_s)
        if self._timer is not None:
            self._timer.cancel()


def _date() -> bytes:
    return f"Date: {formatdate(usegmt=True)}\r\n".encode()
