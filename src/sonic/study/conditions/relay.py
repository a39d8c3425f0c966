"""A network between a client and a server on one machine: a TCP relay that shapes what passes. Needs no privileges."""

from __future__ import annotations

import asyncio
import select
import selectors
import threading
import time
from collections import deque
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Self

from sonic.study.conditions.line import FOLLOWERS, Line, segments_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.conditions.line import Conditions

_MOST_READ_BYTES = 1 << 18
_LEAST_READ_BYTES = 1 << 12
# What is read at once takes the line this long at most, so that connections share it evenly ...
_READ_S = 0.002
# ... and the next is read this long before the line is free, so that it never idles for the loop's delays.
_AHEAD_S = 0.004
# What may be on its way at once. A long line holds much: 64 MiB at 30 ms one way is 17 Gbit/s.
_LINE_BYTES = 64 << 20
_FD_SETSIZE = 1024


class Relay:
    """A TCP relay that lets every byte arrive when it would over a given network. Context manager.

    Any number of bytes are on their way at once, as on a long line, and a request costs one round trip more, however
    long it is. Opening a connection costs a round trip, too. All connections share the bandwidth of each direction.

    It runs in a thread of this process and copies what passes: ``make bench BENCH=relay`` says how much it carries.

    Parameters
    ----------
    host, port : str, int
        The server behind the relay.
    conditions : Conditions
        What the network is like.
    seed : int
        Of jitter and loss.
    """

    def __init__(self, host: str, port: int, conditions: Conditions, *, seed: int = 0) -> None:
        self._target = (host, port)
        self._handshake_s = conditions.round_trip_ms / 1e3
        self._up, self._down = (Line(conditions, Random(f"{seed} {way}")) for way in ("up", "down"))  # noqa: S311
        wanted = conditions.bytes_per_s * _READ_S
        self._buffer = memoryview(bytearray(int(min(max(wanted, _LEAST_READ_BYTES), _MOST_READ_BYTES))))
        self._pipes: set[_Pipe] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.SelectorEventLoop(_selector())
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """``host:port`` to connect to in place of the server's."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pipes)

    @property
    def cpu_s(self) -> float:
        """Processor time that the relay has taken, in seconds; where it nears the time that passes, it is the limit."""
        assert self._thread.ident is not None  # noqa: S101 - it was started
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def close(self) -> None:
        """Cut every connection and stop listening. Harmless when repeated."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._accept, "127.0.0.1", 0)

    def _accept(self) -> _Pipe:
        near, far = _Pipe(self._up, self._buffer), _Pipe(self._down, self._buffer)
        near.other, far.other = far, near
        near.connected = lambda: self._open(near, far)
        return near

    def _open(self, near: _Pipe, far: _Pipe) -> None:
        self._pipes.add(near)
        near.gone = lambda: self._pipes.discard(near)
        task = self._loop.create_task(self._connect(near, far))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, near: _Pipe, far: _Pipe) -> None:
        await asyncio.sleep(self._handshake_s)
        try:
            await self._loop.create_connection(lambda: far, *self._target)
        except OSError:
            near.abort()  # the server behind is gone: the client sees its connection closed, as it would without us
            return
        near.start()

    async def _shutdown(self) -> None:
        self._server.close()
        for task in self._opening:
            task.cancel()
        for pipe in tuple(self._pipes):
            pipe.abort()
        await asyncio.sleep(0)  # connections are told of their end in the loop's next turn


class _Pipe(asyncio.BufferedProtocol):
    """One end of a connection, and the way of what is received there to the other end."""

    other: _Pipe

    def __init__(self, line: Line, buffer: memoryview) -> None:
        self._line = line
        self._flow = line.flow()
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._way: deque[tuple[float, bytes, int]] = deque()  # when it is due, what, and how often its end was lost
        self._way_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._other_is_full = False
        self._ended = False
        self.connected: Callable[[], object] = bool
        self.gone: Callable[[], object] = bool

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 20)
        if self.other._transport is None:
            transport.pause_reading()  # there is nobody to hand it to yet
        self.connected()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        now_s = self._loop.time()
        self._way_bytes += nbytes
        due_s, losses = self._flow.put(now_s, nbytes)
        sent_s = self._line.free_s
        self._put(due_s, bytes(self._buffer[:nbytes]), now_s, losses)
        if self._way_bytes > _LINE_BYTES:
            self._pause()
        elif sent_s - now_s > _AHEAD_S:
            self._pause()
            self._loop.call_at(sent_s - _AHEAD_S, self.start)

    def eof_received(self) -> bool:
        now_s = self._loop.time()
        self._put(self._flow.send(now_s, 0), b"", now_s)
        return True

    def pause_writing(self) -> None:
        self.other._other_is_full = True

    def resume_writing(self) -> None:
        self.other._other_is_full = False
        self.other._deliver()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if not (self._ended and self.other._ended):
            self.abort()
        self.gone()

    # What the relay and the other end call.

    def start(self) -> None:
        """Read on, if there is room on the way."""
        if self._transport is not None and not self._transport.is_closing() and self._way_bytes <= _LINE_BYTES:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection at both ends. Harmless when repeated."""
        for end in (self, self.other):
            if end._timer is not None:
                end._timer.cancel()
                end._timer = None
            end._way.clear()
            if end._transport is not None and not end._transport.is_closing():
                end._transport.abort()

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _put(self, due_s: float, data: bytes, now_s: float, losses: int = 0) -> None:
        self._way.append((due_s, data, losses))
        if due_s <= now_s or self._way[0][2]:  # what was lost may be noticed now
            self._deliver()
        elif self._timer is None:
            self._timer = self._loop.call_at(due_s, self._deliver)

    def _deliver(self) -> None:
        """Hand on what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        target = self.other._transport
        if target is None or target.is_closing():
            return
        was_full = self._way_bytes > _LINE_BYTES
        now_s = self._loop.time()
        while self._way and not self._other_is_full:
            data, due_s = self._way[0][1], self._first_due_s()
            if due_s > now_s:
                self._timer = self._loop.call_at(due_s, self._deliver)
                break
            self._way.popleft()
            self._way_bytes -= len(data)
            if data:
                target.write(data)
            else:
                self._end(target)
        if was_full:
            self.start()

    def _first_due_s(self) -> float:
        """Return when the first of what is on its way is due, by what follows it so far if it was lost."""
        due_s, _, losses = self._way[0]
        if not losses:
            return due_s
        following = 0
        for later_s, data, _ in islice(self._way, 1, None):
            following += segments_of(len(data))
            if following >= FOLLOWERS:
                noticed_s = max(due_s, later_s) + self._line.wait_s(losses, followed=True)
                return min(noticed_s, due_s + self._line.wait_s(losses))
        return due_s + self._line.wait_s(losses)

    def _end(self, target: asyncio.Transport) -> None:
        self._ended = True
        try:
            target.write_eof()
        except OSError:  # it has gone, which asyncio is yet to notice
            self.abort()
        if self.other._ended and self._transport is not None:
            for end in (target, self._transport):
                end.close()  # once all is written


def _selector() -> selectors.BaseSelector:
    """Choose what the loop waits with: asyncio's own waits whole milliseconds on Linux, which a line would feel."""
    return _FineSelector() if hasattr(selectors, "EpollSelector") else selectors.DefaultSelector()


if hasattr(selectors, "EpollSelector"):

    class _FineSelector(selectors.EpollSelector):
        """Waits for microseconds, too: by select() for epoll's own descriptor."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < _FD_SETSIZE:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)
