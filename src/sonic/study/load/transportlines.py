"""Lines over Sonic's transports: for shared memory, TLS, compression, and models in this very process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sonic.client.http import HttpTransport
from sonic.client.promise import failure_of
from sonic.client.settings import ClientSettings
from sonic.client.sharedmemory import share
from sonic.client.url import connect
from sonic.study.load.lines import clock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.client.transport import Transport
    from sonic.client.url import Address
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.study.load.lines import Done, Line
    from sonic.study.load.settings import LoadSettings

MOST_THREADS = 128
"""Where each request of an open loop takes one."""


class TransportLines:
    """Lines that share one transport, as the modules of a job do.

    Parameters
    ----------
    address : Address
    requests : sequence of InferRequest
    loop : asyncio.AbstractEventLoop
    settings : LoadSettings
    """

    def __init__(
        self,
        address: Address,
        requests: Sequence[InferRequest],
        loop: asyncio.AbstractEventLoop,
        settings: LoadSettings,
    ) -> None:
        threads = settings.clients if settings.rate is None else MOST_THREADS
        if address.scheme.startswith("http"):  # a thread each request
            options = dict(address.options)
            transport: Transport = HttpTransport(address.where, threads=threads, scheme=address.scheme, **options)
        else:
            transport = connect(address)
        memory = ClientSettings(shared_memory="auto" if settings.shared_memory else "never")
        self._transport = share(transport, address, memory)
        self._requests = requests
        self._loop = loop
        # A model in this very process is executed by who calls it: each client must be a thread then.
        self._threads = ThreadPoolExecutor(threads) if address.scheme == "local" else None

    def line(self) -> Line:
        """Return another line."""
        return _TransportLine(self)

    def start(self, number: int, answered: Callable[[Future[InferResponse]], None]) -> None:
        """Send a request; `answered` is called in whatever thread."""
        if self._threads is None:
            self._transport.submit(self._requests[number]).add_done_callback(answered)
        else:
            self._threads.submit(lambda: self._transport.submit(self._requests[number]).add_done_callback(answered))

    def later(self, call: Callable[..., None], *arguments: object) -> None:
        """Have the loop call something, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


class _TransportLine:
    def __init__(self, lines: TransportLines) -> None:
        self._lines = lines
        self._done: Done | None = None
        self._turn = 0

    def send(self, number: int, done: Done) -> None:
        self._done = done
        self._turn += 1
        turn = self._turn

        def answered(future: Future[InferResponse]) -> None:
            at_s = clock()
            failure = failure_of(future)
            received = 0 if failure else sum(array.nbytes for array in future.result().outputs.values())
            self._lines.later(self._end, turn, str(failure or ""), received, at_s)

        self._lines.start(number, answered)

    def give_up(self, reason: str) -> None:
        self._end(self._turn, reason, 0, clock())

    def _end(self, turn: int, error: str, received: int, at_s: float) -> None:
        done, self._done = (self._done, None) if turn == self._turn else (None, self._done)
        if done is not None:
            done(error, received, at_s)
