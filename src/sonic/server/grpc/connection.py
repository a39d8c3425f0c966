"""A client's connection: bytes between the event loop, HTTP/2 and the calls."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, cast

from sonic.errors import InvalidRequest, Unsupported
from sonic.server import http2
from sonic.server.connections import OpenConnections
from sonic.server.eventloop import within
from sonic.server.grpc import wire
from sonic.server.grpc.call import Call
from sonic.server.sockets import peer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from sonic.server.busypoll import BusyPoll
    from sonic.server.grpc.call import Handler
    from sonic.server.grpc.wire import Buffer, Head

log = logging.getLogger("sonic.server")

_JOINED_BYTES = 1 << 16
"""Below this, to copy all parts into one costs less than to write them one by one."""
_UNSENT_BYTES = 1 << 22
"""From here on a client that does not read is not read either."""
_FEW = 4
"""Calls that are looked at to see whether all of them rest: each time that something is written."""
_BEGIN_S = 30.0
"""When a client that has said nothing is cut off."""
_KEEPALIVE_S = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""When the network is asked whether a silent client is still there."""


class Shared:
    """What the connections of a front share.

    Parameters
    ----------
    handlers : mapping of str to Handler
        By ``/service/method``.
    loop : asyncio.AbstractEventLoop
    pool : Executor
        For what would keep the loop.
    busy_poll : BusyPoll
        To be told of calls.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        busy_poll: BusyPoll,
    ) -> None:
        self.handlers = handlers
        self.loop = loop
        self.pool = pool
        self.busy_poll = busy_poll
        # The loop reads one connection at a time, and what is kept of it is copied.
        self.scratch = memoryview(bytearray(1 << 18))
        self.connections: OpenConnections[GrpcConnection] = OpenConnections()


class GrpcConnection(asyncio.BufferedProtocol):
    """Connection of one client.

    Parameters
    ----------
    shared : Shared

    Attributes
    ----------
    peer : str
        Address of the client, without its port; empty for one on a Unix domain socket.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._http2 = http2.Connection(self, wire.read_head)
        self._transport: asyncio.Transport | None = None
        self._busy = True  # somebody is at work, and writes what is there when done
        self._in_hand = False  # whether calls have something to do
        self.peer = ""

    # ---- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(_UNSENT_BYTES)
        address = transport.get_extra_info("peername")
        self.peer = peer_of(address)
        if isinstance(address, tuple):
            _keep_alive(transport.get_extra_info("socket"))
        self._shared.connections.add(self)
        self._begin_timer = self._shared.loop.call_later(_BEGIN_S, self._check_begun)
        self._write()

    def connection_lost(self, error: Exception | None) -> None:
        """End what the client had begun."""
        if error is not None:
            log.debug("a gRPC connection broke: %s", error)
        self._transport = None
        self._begin_timer.cancel()
        self._http2.close()
        self._shared.connections.discard(self)
        self._rest()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return where to put what comes."""
        return self._shared.scratch

    def buffer_updated(self, count: int) -> None:
        """Look at what came, and write what it makes necessary."""
        self._busy = True
        try:
            self._http2.receive(self._shared.scratch[:count])
        finally:
            self._write()

    def pause_writing(self) -> None:
        """Read nothing more of a client that does not read."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # ---- what HTTP/2 calls ------------------------------------------------------------------------------------------

    def opened(self, stream: http2.Stream, head: Head) -> None:
        """Begin a call."""
        self._work()
        if head.status != 200:
            self._http2.send_headers(stream, wire.refusal(head.status), last=True)
            return
        handler = self._shared.handlers.get(head.path)
        if handler is None:
            error = Unsupported(f"{head.path} is not offered")
            self._http2.send_headers(stream, wire.failure(error, opened=False), last=True)
            return
        call = stream.owner = Call(self, stream, head, handler)
        try:
            if head.fault:
                raise InvalidRequest(head.fault)
            handler.opened(call)
        except Exception as error:  # noqa: BLE001 - the call ends in it, and not the others of the connection
            call.fail(error)
        if stream.ended and not stream.closed:
            call.received(())

    def received(self, stream: http2.Stream, parts: Sequence[memoryview]) -> None:
        """Hand on some of a call."""
        self._work()
        stream.owner.received(parts)

    def reset(self, stream: http2.Stream) -> None:
        """End a call that nobody waits for."""
        if stream.owner is not None:
            stream.owner.gone()

    # ---- what calls call --------------------------------------------------------------------------------------------

    def soon(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, from any thread."""
        try:
            self._shared.loop.call_soon_threadsafe(action, *given)
        except RuntimeError:  # the loop is closed, and with it every connection
            log.debug("an answer came after the end of the server")

    def promptly(self, action: Callable[..., None], *given: object) -> None:
        """Do something in the thread of the event loop, at once if this is it."""
        if within(self._shared.loop):
            action(*given)
        else:
            self.soon(action, *given)

    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        """Calls what it is given when the event loop has dealt with what came at once."""
        return self._shared.loop.call_soon

    def aside(self, action: Callable[..., None], *given: object) -> None:
        """Do something in another thread."""
        self._shared.pool.submit(action, *given)

    def credit(self, stream: http2.Stream, size: int) -> None:
        """Let the client send more."""
        self._http2.credit(stream, size)
        self._write_soon()

    def answer(
        self, stream: http2.Stream, opening: bytes | None, parts: Sequence[Buffer], trailers: bytes | None
    ) -> None:
        """Send headers, data and trailers."""
        if opening is not None:
            self._http2.send_headers(stream, opening)
        self._http2.send(stream, parts, trailers)
        self._write_soon()

    def fail(self, stream: http2.Stream, trailers: bytes) -> None:
        """Send headers that end a call; what was to be sent before is dropped."""
        self._http2.drop(stream)
        self._http2.send_headers(stream, trailers, last=True)
        self._write_soon()

    def end(self) -> None:
        """Take no more calls; close once those in hand have ended."""
        self._http2.refuse()
        self._write_soon()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _check_begun(self) -> None:
        if not self._http2.begun:
            log.debug("a client of gRPC connected and said nothing")
            self.abort()

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _write_soon(self) -> None:
        """Write in the end of this turn of the loop, with what else has become ready in it."""
        if not self._busy:
            self._busy = True
            self._shared.loop.call_soon(self._write)

    def _write(self) -> None:
        self._busy = False
        transport, parts = self._transport, self._http2.out
        if transport is None:
            parts.clear()
            return
        if parts:
            if sum(map(len, parts)) < _JOINED_BYTES:
                transport.write(b"".join(parts))
            else:
                transport.writelines(parts)
            parts.clear()
        if self._http2.over or (self._http2.refusing and not self._http2.streams):
            transport.close()
        streams = self._http2.streams
        if not streams or (len(streams) <= _FEW and all(_rests(stream) for stream in streams.values())):
            self._rest()

    def _work(self) -> None:
        """Have something to do, if there was nothing."""
        if not self._in_hand:
            self._in_hand = True
            self._shared.busy_poll.begin()

    def _rest(self) -> None:
        """Have nothing to do, if there was something."""
        if self._in_hand:
            self._in_hand = False
            self._shared.busy_poll.end()


def _rests(stream: http2.Stream) -> bool:
    return stream.owner is not None and stream.owner.resting


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE_S.items():
        if hasattr(socket, option):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
