"""The ways to several servers and to a fallback, and the requests that are on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from sonic.client.catalogue import Catalogue
from sonic.client.choice import Choice
from sonic.client.deadline import Deadlines
from sonic.client.discovery import Discovery
from sonic.client.journey import Journey
from sonic.client.promise import Promise, as_inference_error
from sonic.client.recorder import Recorder
from sonic.client.retry import summary
from sonic.client.settings import ClientSettings
from sonic.client.signs import Signs
from sonic.client.transport import WaitingTransport, memory_use
from sonic.client.workers import Workers
from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.client.deadline import Timer
    from sonic.client.fallback import Spare
    from sonic.client.pool import Sending, ServerState
    from sonic.client.retry import Chain
    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferRequest, InferResponse

T = TypeVar("T")

_WORKERS = 8
_DEFAULT = ClientSettings()


class Router:
    """Owns the ways to several servers and to a fallback. Thread-safe.

    Parameters
    ----------
    transports : sequence of Transport
        Distinct by their URLs.
    fallback : Spare or None
    settings : ClientSettings
    timer : Timer, optional
        Instead of real time: for tests and simulations.
    random : random.Random, optional
        What the jitter of pauses is drawn from.

    Attributes
    ----------
    choice : Choice
        Among the servers and the fallback.
    signs : Signs
        Of life, of the servers.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        fallback: Spare | None = None,
        settings: ClientSettings = _DEFAULT,
        *,
        timer: Timer | None = None,
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.timer: Timer = timer or Deadlines()
        self._transports = {transport.url: transport for transport in transports}
        self._waiting = {url: way for url, way in self._transports.items() if isinstance(way, WaitingTransport)}
        self._fallback = fallback
        self._recorder = Recorder(settings.record, settings.record_max_bytes) if settings.record else None
        self._lock = Lock()
        self._live: set[Promise[Any]] = set()
        self._closed = False
        self._workers = Workers(_WORKERS, "sonic-client")
        self._probes = Workers(_WORKERS, "sonic-probe")
        self.signs = Signs(self._transports, self.timer, self._probes.run)
        catalogue, known = Catalogue(self._transports, settings.rest_s), Lock()
        self._discovery = Discovery(
            self._transports, catalogue, settings.silence_s, self.timer, known, self._probes.run
        )
        urls = [transport.url for transport in transports]
        spare = None if fallback is None else fallback.url
        random = random or Random()  # noqa: S311 - spreads retries, keeps no secret
        self.choice = Choice(urls, spare, settings, catalogue, known, self.timer, random)

    def promise(self, until_s: float | None, what: str) -> Promise[Any]:
        """Return a promise that ends in DeadlineExceeded when its time is up, and in Cancelled at the close.

        Parameters
        ----------
        until_s : float or None
            By the timer's clock, :func:`time.monotonic`.
        what : str
            For the message.
        """
        promise: Promise[Any] = Promise()
        with self._lock:
            closed = self._closed
            if not closed:
                self._live.add(promise)
        if closed:
            promise.reject(Cancelled(f"{what}: the client is closed"))
            return promise
        promise.on_end(self._live.discard)
        if until_s is not None:
            error = DeadlineExceeded(f"{what} did not end within its deadline")
            deadline = self.timer.set(until_s, lambda: promise.reject(error))
            promise.on_end(lambda _: deadline.withdraw())
        return promise

    def infer(
        self,
        request: InferRequest,
        until_s: float | None,
        convert: Callable[[InferResponse], object] | None = None,
        *,
        here: bool = False,
    ) -> Future[Any]:
        """Send a request; when it fails for want of a server, send it elsewhere, off the caller's thread.

        Parameters
        ----------
        request : InferRequest
        until_s : float or None
            By the timer's clock.
        convert : callable, optional
            Makes of the response what the future ends in; may raise an InferenceError. Must not block.
        here : bool
            Whether the caller has nothing to do but to wait: then this may block, for as long as the future would.
        """
        promise: Promise[Any] = Promise()
        journey = Journey(self, request, until_s, promise, convert)
        self._live.add(promise)
        if self._closed:  # else the close finds it among the live
            promise.reject(Cancelled(f"request to model {request.model!r}: the client is closed"))
            return promise
        if self._recorder is not None:
            self._recorder.record(request)
        try:
            journey.go(here=here)
        except BaseException:
            promise.cancel()  # if the wait was interrupted
            raise
        return promise

    def ended(self, promise: Promise[Any]) -> None:
        """Note that a request is over."""
        self._live.discard(promise)

    def background(self, task: Callable[[], T], promise: Promise[Any]) -> None:
        """Run a task that may block; whatever it raises ends the promise."""

        def run() -> None:
            try:
                task()
            except Exception as error:  # noqa: BLE001 - becomes the future's error
                promise.reject(as_inference_error(error))

        if not self._workers.run(run):
            promise.reject(self._workers.refusal("the client"))

    def ask(self, model: str, question: Callable[[Transport, float | None], T], until_s: float | None) -> T:
        """Put a question to servers, along the chain of the settings as a request, until one answers. Blocks.

        Raises
        ------
        InferenceError
            Why none did.
        """
        self._discovery.begin()
        self._discovery.await_server_of(model, self._left_s(until_s))
        chain = self.choice.chain()
        tried: list[str] = []
        errors: list[InferenceError] = []
        url = self.choice.next(model, tried)
        while url is not None:
            tried.append(url)
            left_s = self._left_s(until_s)
            if left_s is not None and left_s <= 0:
                raise DeadlineExceeded(f"model {model!r}: no server answered within the deadline")
            if not url.startswith("local:") and self.choice.next(model, tried) is not None:
                # One that is frozen must not take the time of those that are not.
                left_s = min(2 * self.settings.silence_s, inf if left_s is None else left_s / 2)
            error: InferenceError | None = None
            sending = self.choice.sent(url)
            try:
                return question(self.way(url) or self.start_fallback(), left_s)
            except InferenceError as failure:
                error = failure
            finally:
                self.done(url, model, error, sending=sending)
            errors.append(error)
            url = self._next(model, chain, error, tried, until_s)
        raise summary(model, tried, errors)

    def _next(
        self, model: str, chain: Chain, error: InferenceError, tried: Sequence[str], until_s: float | None
    ) -> str | None:
        """Name the server to ask after a failure, when the pause before that has passed; None if there is none."""
        while (step := self.choice.step(model, chain, error, tried, self._left_s(until_s))) is not None:
            if step.delay_s > 0:
                pause = self.promise(None, f"question about model {model!r}")
                self.timer.set(self.timer.now_s() + step.delay_s, partial(pause.resolve, None))
                pause.result()
            url = self.choice.follow(model, step, tried)
            if url is not None:
                return url
        return None

    def _left_s(self, until_s: float | None) -> float | None:
        return None if until_s is None else until_s - self.timer.now_s()

    def everywhere(self, question: Callable[[Transport], T]) -> list[T | InferenceError]:
        """Put a question to every server, and to the fallback if it is started. Blocks."""
        ways = list(self._transports.values())
        if self._fallback is not None and self._fallback.transport is not None:
            ways.append(self._fallback.transport)
        answers: list[T | InferenceError] = []
        for transport in ways:
            try:
                answers.append(question(transport))
            except InferenceError as error:
                answers.append(error)
        return answers

    def way(self, url: str) -> Transport | None:
        """Return the transport to a server; None if it is the fallback, and not started."""
        way = self._transports.get(url)
        return way if way is not None or self._fallback is None else self._fallback.transport

    def waiting(self, url: str) -> WaitingTransport | None:
        """Return the transport to a server, if it lets the thread that waits for an answer bring it."""
        return self._waiting.get(url)

    @property
    def start_s(self) -> float:
        """How long the fallback may take to start, in seconds."""
        return 0.0 if self._fallback is None else self._fallback.start_s

    def start_fallback(self) -> Transport:
        """Return the way to the fallback. Blocks while it is started."""
        if self._fallback is None:
            raise Unavailable("there is no fallback")
        return self._fallback.start()

    def release(self, model: str) -> None:
        """Note that nobody needs a model any more, so that the fallback need not keep it."""
        if self._fallback is not None:
            self._fallback.release(model)

    def done(
        self,
        url: str,
        model: str,
        error: InferenceError | None,
        *,
        heard: bool = True,
        sent_s: float | None = None,
        sending: Sending,
    ) -> None:
        """Note how it ended, whether by the server's own doing, when it was sent, and what was noted then."""
        now_s = self.timer.now_s()
        if heard:
            self.signs.heard(url, now_s)
        if self.choice.done(url, model, error, now_s, sent_s=sent_s, sending=sending):
            self._discovery.begin(again=True)

    def statistics(self) -> tuple[ServerState, ...]:
        """Return what is known of every server."""
        states = self.choice.statistics()
        return tuple(replace(state, memory=memory_use(self._transports[state.server])) for state in states)

    def by_fallback(self) -> dict[str, int]:
        """Return how many requests the fallback has answered, by model."""
        return self.choice.by_fallback()

    def close(self) -> None:
        """Release everything. What is in flight ends in Cancelled."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            live = list(self._live)
        self._discovery.close()
        for promise in live:
            promise.reject(Cancelled("the client was closed"))
        for transport in self._transports.values():
            transport.close()
        if self._fallback is not None:
            self._fallback.close()
        if self._recorder is not None:
            self._recorder.close()
        self.timer.close()
        self._probes.close()
        self._workers.close()
