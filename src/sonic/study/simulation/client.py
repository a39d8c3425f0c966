"""The client that ships, on virtual time: router, journeys, pool, breakers, retries. Pure."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, cast

from sonic.client.promise import failure_of
from sonic.client.router import Router
from sonic.client.signs import Signs
from sonic.protocol.messages import InferRequest, InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from sonic.client.fallback import Spare
    from sonic.client.promise import Promise
    from sonic.client.settings import ClientSettings
    from sonic.client.transport import Transport
    from sonic.errors import InferenceError
    from sonic.study.simulation.clock import Clock
    from sonic.study.simulation.network import Cable, Site
    from sonic.study.simulation.processor import Thread
    from sonic.study.simulation.queueing import Answer


class Request(InferRequest, frozen=True, eq=False):
    """A request without tensors.

    Parameters
    ----------
    rows, n_bytes, answer_bytes : int
        What matters of them.
    """

    rows: int = 1
    n_bytes: int = 0
    answer_bytes: int = 0


class Address(Protocol):
    """Where requests are sent: a server, or a balancer."""

    def take(self, model: str, rows: int, answer: Answer, timeout_s: float | None = None) -> None:
        """Take a request that has arrived."""


_RESPONSE = InferResponse("", "", {})


class Way:
    """A client's :class:`~sonic.client.transport.Transport` to an address, as far as the router needs one.

    Parameters
    ----------
    url : str
    address : Address
    site : Site
        Where that is.
    cable : Cable
        The client's own end of the network.
    thread : Thread
        Of the client, which sends and receives.
    overhead_s : float
        Of that for a request, half before it is sent and half after its answer.
    """

    def __init__(
        self, url: str, address: Address, site: Site, cable: Cable, thread: Thread, overhead_s: float = 0.0
    ) -> None:
        self.url = url
        self.address = address
        self._site = site
        self._cable = cable
        self._thread = thread
        self._half_s = overhead_s / 2

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        """Send a request; the future ends when its answer has come, and never if the server hangs."""
        assert isinstance(request, Request)  # noqa: S101 - none other is made here
        future: Future[InferResponse] = Future()
        half_s, n_bytes, timeout_s = self._half_s, request.n_bytes, request.timeout_s

        def arrived() -> None:
            self.address.take(request.model, request.rows, answered, timeout_s)

        def answered(error: InferenceError | None) -> None:
            size = 0 if error is not None else request.answer_bytes
            self._cable.receive(self._site, size, lambda: self._thread.run(half_s, lambda: ended(error)))

        def ended(error: InferenceError | None) -> None:
            if not future.set_running_or_notify_cancel():  # given up meanwhile
                return
            if error is None:
                future.set_result(_RESPONSE)
            else:
                future.set_exception(error)

        self._thread.run(half_s, lambda: self._cable.send(self._site, n_bytes, arrived))
        return future

    def probe(self, answered: Callable[[], object]) -> None:
        """Ask for a sign of life."""
        if getattr(self.address, "hangs", False):
            return
        self._cable.send(self._site, 0, lambda: self._cable.receive(self._site, 0, answered))

    def close(self) -> None:
        """Nothing is held."""


class LocalFallback:
    """A :class:`~sonic.client.fallback.Spare` in the client's own process.

    Parameters
    ----------
    way : Way
    """

    start_s = 0.0

    def __init__(self, way: Way) -> None:
        self.url = way.url
        self.transport: Way | None = None
        self._way = way

    def start(self) -> Way:
        """Have it there: in this process that takes no time."""
        self.transport = self._way
        return self._way

    def close(self) -> None:
        """Nothing is held."""


class VirtualRouter(Router):
    """The client's router on a clock of its own, and without threads.

    Parameters
    ----------
    clock : Clock
    ways : sequence of Way
    settings : ClientSettings
    fallback : LocalFallback or None
    random : random.Random
        For the jitter of retries.
    """

    def __init__(
        self,
        clock: Clock,
        ways: Sequence[Way],
        settings: ClientSettings,
        random: Random,
        fallback: LocalFallback | None = None,
    ) -> None:
        transports = cast("Sequence[Transport]", ways)
        super().__init__(transports, cast("Spare | None", fallback), settings, timer=clock, random=random)
        self.signs = VirtualSigns(self._transports, clock, self._probes.run)

    def send(
        self, request: Request, timeout_s: float | None, ended: Callable[[float, InferenceError | None], object]
    ) -> None:
        """Send a request; `ended` is called once, with the time at which it was sent and with what it ended in."""
        sent_s = self.timer.now_s()
        until_s = None if timeout_s is None else sent_s + timeout_s
        self.infer(request, until_s).add_done_callback(lambda future: ended(sent_s, failure_of(future)))

    def background(self, task: Callable[[], Any], promise: Promise[Any]) -> None:  # noqa: ARG002
        """Do it here: nothing blocks."""
        task()


class VirtualSigns(Signs):
    """The client's signs of life on virtual time: who is asked answers once the network has brought it."""

    def probe(self, url: str, model: str, timeout_s: float) -> None:  # noqa: ARG002
        """Ask a server for one."""
        way = self._transports.get(url)
        if isinstance(way, Way):
            way.probe(lambda: self.heard(url, self._timer.now_s()))
