"""The work of one process whose clients call a model."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError
from sonic.study.load.engine import Engine
from sonic.study.load.grpclines import GrpcLines
from sonic.study.load.httplines import HttpLines
from sonic.study.load.inputs import rows_of
from sonic.study.load.lines import clock
from sonic.study.load.schedule import due_times_s

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from sonic.client.url import Address
    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec
    from sonic.study.load.crew import Orders
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.lines import Lines
    from sonic.study.load.settings import LoadSettings


@dataclass(frozen=True)
class Clients:
    """A share of the clients, or of the rate.

    Parameters
    ----------
    address : Address
        The server's.
    spec : ModelSpec
    inputs : Inputs
    settings : LoadSettings
    part, parts : int
        Which process this is, of how many.
    """

    address: Address
    spec: ModelSpec
    inputs: Inputs
    settings: LoadSettings
    part: int = 0
    parts: int = 1

    def prepare(self) -> RunningClients:
        """Make the requests; see :class:`~sonic.study.load.crew.Work`."""
        requests = list(self.inputs.requests(self.spec, self.settings.seed + self.part))
        if not requests:
            raise ConfigError(f"there is no request for {self.spec.name} in what is to be sent")
        return RunningClients(self, requests)


class RunningClients:
    """Clients with their requests."""

    def __init__(self, work: Clients, requests: Sequence[InferRequest]) -> None:
        self._work = work
        self._requests = requests

    def run(self, orders: Orders) -> None:
        """Send; see :class:`~sonic.study.load.crew.Runner`."""
        from sonic.server.eventloop import new_event_loop  # here: the parent, which has no loop, needs no uvloop

        work = self._work
        sizes = [
            (rows_of(request, work.spec), sum(array.nbytes for array in request.inputs.values()))
            for request in self._requests
        ]
        stack = ExitStack()
        loop = new_event_loop()
        stack.callback(loop.close)
        lines = self._lines(loop)
        stack.callback(lines.close)
        settings, ended = work.settings, Event()
        own = settings.clients // work.parts + (work.part < settings.clients % work.parts)
        engine = Engine(loop, lines, sizes, settings, own if settings.rate is None else 0)
        stack.callback(engine.stop)
        next_s = orders.start_s

        def cut() -> None:
            nonlocal next_s
            orders.report(engine.cut())
            next_s += orders.slice_s
            loop.call_later(max(0.0, next_s - clock()), cut)

        def start() -> None:
            nonlocal next_s
            engine.start()
            if settings.rate is not None:
                due_s = due_times_s(
                    settings.rate, settings.arrivals, part=work.part, parts=work.parts, seed=settings.seed
                )
                pacer = Thread(target=_pace, args=(loop, engine.due, due_s, ended), name="sonic-pace")
                pacer.start()
                stack.callback(pacer.join)
                stack.callback(ended.set)
            next_s += orders.slice_s
            loop.call_later(max(0.0, next_s - clock()), cut)

        parent, has_ended = orders.connection.fileno(), False

        def end() -> None:
            nonlocal has_ended
            if not has_ended:  # stopped once more, the loop could not close connections
                has_ended = True
                loop.remove_reader(parent)
                loop.stop()

        broken: list[BaseException] = []

        def stop_at(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            broken.append(context.get("exception") or RuntimeError(context["message"]))
            end()

        loop.set_exception_handler(stop_at)
        loop.add_reader(parent, end)  # which says no more, but can go
        loop.call_later(max(0.0, next_s - clock()), start)
        with stack:
            loop.run_forever()
        if broken:
            raise broken[0]

    def _lines(self, loop: asyncio.AbstractEventLoop) -> Lines:
        address, settings = self._work.address, self._work.settings
        if not settings.shared_memory and "compression" not in dict(address.options):
            if address.scheme in ("http", "http+unix"):
                return HttpLines(address, self._requests, loop)
            if address.scheme in ("grpc", "grpc+unix"):
                return GrpcLines(address, self._requests, loop)
        from sonic.study.load.transportlines import TransportLines  # here, since most need no client

        return TransportLines(address, self._requests, loop, settings)


def _pace(loop: asyncio.AbstractEventLoop, send: Callable[[float], None], due_s: Iterator[float], ended: Event) -> None:
    """Have requests sent when they are due. It takes a thread, since the loop's own timers go by milliseconds."""
    start_s = clock()
    for offset_s in due_s:
        while not ended.is_set() and (left_s := start_s + offset_s - clock()) > 0:
            time.sleep(min(left_s, _LOOK_S))
        if ended.is_set():
            return
        loop.call_soon_threadsafe(send, start_s + offset_s)


_LOOK_S = 0.2
