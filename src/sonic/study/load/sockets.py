"""Lines over sockets of their own, which send bytes that were encoded once: a tenth of what a whole client costs.

Each line is a connection, as each client of a server in production is. What an answer holds is not decoded: that it is
one, that it is whole, and how many bytes of tensors are in it, is read off what surrounds them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from sonic.client.secure import Credentials
from sonic.study.load.lines import clock

if TYPE_CHECKING:
    from sonic.client.url import Address
    from sonic.study.load.lines import Done


class SocketLines:
    """What the lines of a process to one server share.

    Parameters
    ----------
    address : Address
    loop : asyncio.AbstractEventLoop
    """

    def __init__(self, address: Address, loop: asyncio.AbstractEventLoop) -> None:
        self.url = address.server
        self.unix = address.scheme.endswith("+unix")
        self.authority = "localhost" if self.unix else address.where
        authorization = Credentials(token_file=dict(address.options).get("token_file")).authorization()
        self.authorization = "" if authorization is None else authorization()
        self._where = address.where
        self._loop = loop
        self._connecting: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.BaseTransport] = set()

    def connect(self, line: SocketLine) -> None:
        """Connect a line; it is told."""
        task = self._loop.create_task(self._connect(line))
        self._connecting.add(task)  # or it might be collected
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, line: SocketLine) -> None:
        try:
            if self.unix:
                transport, _ = await self._loop.create_unix_connection(lambda: _Connection(line), self._where)
            else:
                host, _, port = self._where.rpartition(":")
                host = host.strip("[]")
                transport, _ = await self._loop.create_connection(lambda: _Connection(line), host, int(port))
        except OSError as error:
            line.end(f"{self.url}: no connection: {error.strerror or error}")
            return
        self._open.add(transport)

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        self._open.discard(transport)

    def close(self) -> None:
        """Close all connections. The loop must have stopped."""
        self._loop.run_until_complete(self._end())

    async def _end(self) -> None:
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for transport in self._open:
            transport.close()
        await asyncio.sleep(0)  # in which they are


class SocketLine:
    """A connection that is made when it is needed: see :class:`~sonic.study.load.lines.Line`.

    A subclass writes requests, and calls :meth:`end` when it has read an answer.
    """

    def __init__(self, lines: SocketLines) -> None:
        self._lines = lines
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._number = 0

    def send(self, number: int, done: Done) -> None:
        """Send a request."""
        self._done, self._number = done, number
        if self._transport is None or self._transport.is_closing():
            self._transport = None
            self._lines.connect(self)
        else:
            self.write(self._transport, number)

    def give_up(self, reason: str) -> None:
        """End the request, and the connection on which its answer may still come."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self.end(reason)

    def write(self, transport: asyncio.Transport, number: int) -> None:
        """Write a request."""
        raise NotImplementedError

    def opened(self, transport: asyncio.Transport) -> None:
        """Begin a new connection."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Read what the server sends."""
        raise NotImplementedError

    def end(self, error: str, received: int = 0) -> None:
        """Tell the end of the request that is under way, if there is one."""
        done, self._done = self._done, None
        if done is not None:
            done(error, received, clock())

    def fail(self, reason: str) -> None:
        """End the request and the connection, since what the server sends makes no sense."""
        self.give_up(f"{self._lines.url}: {reason}")

    def made(self, transport: asyncio.Transport) -> None:
        """Take a new connection, and send what waited for it."""
        if self._transport is not None:  # a request was given up while this was made, and the next made its own
            transport.close()
            return
        self._transport = transport
        self.opened(transport)
        if self._done is not None:
            self.write(transport, self._number)

    def lost(self, transport: asyncio.Transport, error: Exception | None) -> None:
        """End the request whose answer cannot come, unless it already went over another connection."""
        self._lines.lost(transport)
        if transport is self._transport:
            self._transport = None
            self.end(f"{self._lines.url}: the connection was lost{f': {error}' if error else ''}")


class _Connection(asyncio.Protocol):
    """One connection of a line: the end of the last may be told after the beginning of the next."""

    def __init__(self, line: SocketLine) -> None:
        self._line = line
        self.data_received = line.data_received  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._line.made(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._line.lost(self._transport, error)
