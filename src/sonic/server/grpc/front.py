"""The dataplane over gRPC."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sonic.protocol.proto import health_pb2
from sonic.protocol.rawfields import MAX_BYTES
from sonic.server.grpc import reflection
from sonic.server.grpc.connection import GrpcConnection, Shared
from sonic.server.grpc.control import Questions
from sonic.server.grpc.extensions import extension_methods
from sonic.server.grpc.health import SERVICE as HEALTH
from sonic.server.grpc.health import Health, Watch
from sonic.server.grpc.infer import Infer
from sonic.server.grpc.streaming import StreamInfer
from sonic.server.grpc.unary import Method, Unary
from sonic.server.sockets import BACKLOG

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractServer

    from sonic.server.access.guard import Guard
    from sonic.server.access.tls import Tls
    from sonic.server.dataplane import Dataplane
    from sonic.server.eventloop import EventLoop
    from sonic.server.grpc.call import Handler

SERVICE = "inference.GRPCInferenceService"


class GrpcFront:
    """A gRPC server on sockets that are listening.

    Parameters
    ----------
    loop : EventLoop
        That serves it.
    port, unix : socket or None
        Of the network, and of a Unix domain socket, whose file is removed in the end.
    max_message_bytes : int
        Largest request, decompressed; larger ones are refused.
    tls : Tls or None
        For the port; None: not encrypted.
    guard : Guard or None
        Who is let in; None: everyone.
    """

    def __init__(
        self,
        loop: EventLoop,
        port: socket.socket | None,
        *,
        unix: socket.socket | None = None,
        max_message_bytes: int = MAX_BYTES,
        tls: Tls | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._loop = loop
        self._port = port
        self._unix = unix
        self._unix_path = None if unix is None else Path(unix.getsockname())
        self._max_bytes = max_message_bytes
        self._context = None if tls is None else tls.context("h2")
        self._guard = guard
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="sonic-grpc")
        self._health: Health | None = None
        self._shared: Shared | None = None
        self._servers: list[AbstractServer] = []

    def start(self, dataplane: Dataplane) -> None:
        """Begin to answer."""
        self._loop.run(self._listen(self._handlers(dataplane)))

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and give those in hand so many seconds to end."""
        if self._health is not None:
            self._health.close()
        self._loop.run(self._end(grace_s))
        self._pool.shutdown(wait=False)
        for claimed in (self._port, self._unix):
            if claimed is not None:
                claimed.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)

    async def _listen(self, handlers: dict[str, Handler]) -> None:
        loop = asyncio.get_running_loop()
        self._shared = Shared(handlers, loop, self._pool, self._loop.busy_poll)
        made = partial(GrpcConnection, self._shared)
        if self._port is not None:
            self._servers.append(await loop.create_server(made, sock=self._port, ssl=self._context, backlog=BACKLOG))
        if self._unix is not None:
            self._servers.append(await loop.create_unix_server(made, sock=self._unix, backlog=BACKLOG))

    async def _end(self, grace_s: float) -> None:
        for server in self._servers:
            server.close()
        if self._shared is not None:
            await self._shared.connections.end(grace_s)

    def _handlers(self, dataplane: Dataplane) -> dict[str, Handler]:
        guard, most = self._guard, self._max_bytes
        questions = Questions(dataplane)
        health = self._health = Health(dataplane, (SERVICE,))
        methods: dict[str, dict[str, Handler]] = {
            SERVICE: {
                # Who only asks whether the server is well has no token, and is not to wait for a thread.
                **{name: Unary(method) for name, method in questions.probes().items()},
                **{
                    name: Unary(method, guard, most, self._pool.submit)
                    for name, method in (*questions.methods().items(), *extension_methods(dataplane).items())
                },
                **{
                    name: Unary(method, guard, most, dataplane.commands.submit)
                    for name, method in questions.commands().items()
                },
                "ModelInfer": Infer(dataplane, guard, most),
                "ModelStreamInfer": StreamInfer(dataplane, guard, most),
            },
            HEALTH: {
                "Check": Unary(Method(health.check, health_pb2.HealthCheckRequest)),
                "List": Unary(Method(health.list, health_pb2.HealthListRequest)),
                "Watch": Watch(health),
            },
        }
        services = (*methods, *reflection.SERVICES)
        for name in reflection.SERVICES:
            methods[name] = {"ServerReflectionInfo": reflection.Reflection(services, guard)}
        return {
            f"/{service}/{method}": handler for service, group in methods.items() for method, handler in group.items()
        }
