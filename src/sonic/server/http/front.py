"""The HTTP front: its ports, from the first connection to the last."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.protocol.rawfields import MAX_BYTES
from sonic.server.http.connection import Connection
from sonic.server.http.connections import Connections
from sonic.server.http.site import MetricsSite, ProtocolSite
from sonic.server.sockets import BACKLOG

if TYPE_CHECKING:
    import asyncio
    import socket

    from sonic.server.access.guard import Guard
    from sonic.server.access.tls import Tls
    from sonic.server.dataplane import Dataplane
    from sonic.server.eventloop import EventLoop
    from sonic.server.http.exchange import Site


class HttpFront:
    """An HTTP server on sockets that are listening, with a second one for the metrics.

    Parameters
    ----------
    loop : EventLoop
        That serves it.
    port, unix : socket or None
        For the protocol: of the network, and of a Unix domain socket, whose file is removed in the end.
    metrics : socket or None
        For the metrics alone.
    max_message_bytes : int
        Largest body of a request, decompressed; larger ones are refused.
    tls : Tls or None
        For the port of the protocol; None: not encrypted.
    guard : Guard or None
        Who is let in to the protocol; None: everyone.
    """

    def __init__(
        self,
        loop: EventLoop,
        port: socket.socket | None,
        *,
        unix: socket.socket | None = None,
        metrics: socket.socket | None = None,
        max_message_bytes: int = MAX_BYTES,
        tls: Tls | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._loop = loop
        self._port = port
        self._unix = unix
        self._unix_path = None if unix is None else Path(unix.getsockname())
        self._metrics = metrics
        self._max_bytes = max_message_bytes
        self._context = None if tls is None else tls.context("http/1.1")
        self._guard = guard
        self._connections: Connections | None = None
        self._servers: list[asyncio.Server] = []

    def start(self, dataplane: Dataplane) -> None:
        """Begin to answer."""
        protocol = ProtocolSite(
            dataplane,
            metrics_port=None if self._metrics is None else self._metrics.getsockname()[1],
            max_body_bytes=self._max_bytes,
            guard=self._guard,
        )
        self._loop.run(self._listen(protocol, MetricsSite(dataplane)))

    def stop(self, grace_s: float) -> None:
        """Take no more connections, and give requests in hand so many seconds to end."""
        if self._connections is not None:
            self._loop.run(self._end(self._connections, grace_s))
        for claimed in (self._port, self._unix, self._metrics):
            if claimed is not None:
                claimed.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)

    async def _listen(self, protocol: Site, metrics: Site) -> None:
        loop = self._loop.loop
        connections = self._connections = Connections(loop, self._loop.busy_poll)
        connections.watch()
        for claimed, site, ssl in (
            (self._port, protocol, self._context),
            (self._unix, protocol, None),
            (self._metrics, metrics, None),
        ):
            if claimed is not None:
                listen = loop.create_unix_server if claimed is self._unix else loop.create_server
                make = partial(Connection, site, connections)
                self._servers.append(await listen(make, sock=claimed, ssl=ssl, backlog=BACKLOG))

    async def _end(self, connections: Connections, grace_s: float) -> None:
        for server in self._servers:
            server.close()
        await connections.end(grace_s)
        for server in self._servers:
            await server.wait_closed()
