"""A network to put between a client and a server on one machine: delay, without privileges."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_READ_BYTES = 1 << 18
# What may be on its way at once. A long line holds much: 64 MiB at 30 ms one way is 17 Gbit/s.
_LINE_BYTES = 64 << 20


class DelayProxy:
    """A TCP relay that holds every byte back for a fixed time, each way, without limiting the rate.

    Bytes are stamped when they arrive and leave when they are due, so that any number are on their way at once, as on
    a long line, and a request costs one round trip more, however long it is.

    Parameters
    ----------
    host, port : str, int
        The server behind the proxy.
    round_trip_s : float
        Delay of the two directions together, in seconds.
    """

    def __init__(self, host: str, port: int, *, round_trip_s: float) -> None:
        self._target = (host, port)
        self._one_way_s = round_trip_s / 2
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay-proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """``host:port`` to connect to in place of the server's."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Cut every connection and stop listening."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _shutdown(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection callback always runs in a task
        self._connections.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            # The server behind is gone: the client sees its connection closed, as it would without us.
            writer.close()
            self._connections.discard(task)
            return
        try:
            await asyncio.gather(self._relay(reader, far_writer), self._relay(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one end is gone; the other is closed below
        finally:
            self._connections.discard(task)
            for end in (writer, far_writer):
                with suppress(OSError):
                    end.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = self._loop.time
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=_LINE_BYTES // _READ_BYTES)

        async def deliver() -> None:
            while True:
                due, data = await line.get()
                await asyncio.sleep(due - clock())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.create_task(deliver())
        try:
            while data := await reader.read(_READ_BYTES):
                await line.put((clock() + self._one_way_s, data))
            await line.put((clock() + self._one_way_s, b""))
            await delivery
        finally:
            delivery.cancel()
