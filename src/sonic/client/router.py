"""The ways to several servers and to a fallback, and what is known of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from sonic.client.catalogue import Catalogue
from sonic.client.deadline import Deadlines
from sonic.client.discovery import Discovery
from sonic.client.hedge import Hedge
from sonic.client.journey import Journey
from sonic.client.pool import Pool
from sonic.client.promise import Promise, as_inference_error
from sonic.client.recorder import Recorder
from sonic.client.retry import Chain, summary
from sonic.client.settings import ClientSettings
from sonic.client.transport import WaitingTransport, memory_use
from sonic.client.workers import Workers
from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, ModelNotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.client.deadline import Timer
    from sonic.client.fallback import Spare
    from sonic.client.pool import ServerState
    from sonic.client.retry import Step
    from sonic.client.settings import Action
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
        self._recorder = Recorder(settings.record, settings.record_max_bytes) if settings.record else None
        self.settings = settings
        self.timer: Timer = timer or Deadlines()
        self._transports = {transport.url: transport for transport in transports}
        self._waiting = {url: way for url, way in self._transports.items() if isinstance(way, WaitingTransport)}
        self._fallback = fallback
        self._only = next(iter(self._transports)) if len(self._transports) == 1 and fallback is None else None
        self._pool = Pool(
            (transport.url for transport in transports),
            rest_s=settings.rest_s,
            breaker_failures=settings.breaker_failures,
            breaker_max_rest_s=settings.breaker_max_rest_s,
            preferred=settings.preferred,
            strict=settings.strict_preferred,
        )
        self._random = random or Random()  # noqa: S311 - spreads retries, keeps no secret
        quantile = settings.hedge_quantile
        self._hedge = None if quantile is None else Hedge(quantile, settings.hedge_budget)
        self._heard_s: dict[str, float] = {}
        self._probed: set[str] = set()
        self._catalogue = Catalogue(self._transports, settings.rest_s)
        self._lock = Lock()
        self._live: set[Promise[Any]] = set()
        self._closed = False
        self._workers = Workers(_WORKERS, "sonic-client")
        self._probes = Workers(_WORKERS, "sonic-probe")
        self._discovery = Discovery(
            self._transports, self._catalogue, settings.silence_s, self.timer, self._lock, self._probes.run
        )

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
            promise.reject(Cancelled("the client is closed"))

    def ask(self, model: str, question: Callable[[Transport, float | None], T], until_s: float | None) -> T:
        """Put a question to one server after another until one answers. Blocks.

        Raises
        ------
        InferenceError
            Why none did.
        """
        self._discovery.begin()
        self._discovery.await_server_of(model, None if until_s is None else until_s - self.timer.now_s())
        tried: list[str] = []
        errors: list[InferenceError] = []
        while (url := self._next(model, tried)) is not None:
            tried.append(url)
            left_s = None if until_s is None else until_s - self.timer.now_s()
            if left_s is not None and left_s <= 0:
                raise DeadlineExceeded(f"model {model!r}: no server answered within the deadline")
            if not url.startswith("local:") and self._next(model, tried) is not None:
                # One that is frozen must not take the time of those that are not.
                left_s = min(2 * self.settings.silence_s, float("inf") if left_s is None else left_s / 2)
            error: InferenceError | None = None
            self.sent(url)
            try:
                return question(self.way(url) or self.start_fallback(), left_s)
            except InferenceError as failure:
                error = failure
            finally:
                self.done(url, model, error)
            errors.append(error)
            if not (error.retryable or isinstance(error, ModelNotFound)):
                break
        raise summary(model, tried, errors)

    def _next(self, model: str, tried: Sequence[str]) -> str | None:
        url = self._choose(model, tried)
        if url is None and self._fallback is not None and self._fallback.url not in tried:
            return self._fallback.url
        return url

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

    def first(self, model: str) -> str | None:
        """Name the server to try first: the fallback, if there is no other; None if there is none at all."""
        return self._only or self._next(model, ())

    def chain(self) -> Chain:
        """Begin a chain of retries."""
        return Chain(self.settings, self._random)

    def step(
        self, model: str, chain: Chain, error: InferenceError, tried: Sequence[str], left_s: float | None
    ) -> Step | None:
        """Say what to do after a failure."""
        possible: set[Action] = set()
        if self._admits(tried):
            possible.add("same")
        if self._choose(model, tried) is not None:
            possible.add("different")
        if self._choose(model, (), tried) is not None:
            possible.add("again")
        if self._fallback is not None and self._fallback.url not in tried:
            possible.add("fallback")
        return chain.next(error, possible, left_s)

    def follow(self, model: str, step: Step, tried: Sequence[str]) -> str | None:
        """Name the server for a step; None if there is none any more."""
        if step.action == "same":
            return tried[-1] if self._admits(tried) else None
        if step.action == "fallback":
            return None if self._fallback is None else self._fallback.url
        return self._choose(model, tried if step.action == "different" else (), tried)

    def way(self, url: str) -> Transport | None:
        """Return the transport to a server; None if it is the fallback, and not started."""
        way = self._transports.get(url)
        return way if way is not None or self._fallback is None else self._fallback.transport

    def waiting(self, url: str) -> WaitingTransport | None:
        """Return the transport to a server, if it lets the thread that waits for an answer bring it."""
        return self._waiting.get(url)

    def _choose(self, model: str, exclude: Sequence[str], tried: Sequence[str] | None = None) -> str | None:
        now_s = self.timer.now_s()
        with self._lock:
            lacking = self._catalogue.last(model, now_s)
            return self._pool.choose(
                now_s,
                model,
                exclude=exclude,
                last=lacking,
                open_too=self._none_left(exclude if tried is None else tried),
            )

    def _none_left(self, tried: Sequence[str]) -> bool:
        """Whether there is no fallback to take the place of a server whose circuit is open."""
        return self._fallback is None or self._fallback.url in tried

    def _admits(self, tried: Sequence[str]) -> bool:
        url = tried[-1]
        with self._lock:
            return url not in self._transports or self._none_left(tried) or self._pool.admits(url, self.timer.now_s())

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

    def sent(self, url: str) -> int:
        """Note that something went to a server; return how many it has now."""
        if url not in self._transports:
            return 1
        with self._lock:
            return self._pool.sent(url)

    def hedge_s(self, model: str) -> float | None:
        """After how long to ask a second server; None: not at all."""
        if self._hedge is None or len(self._transports) < 2:
            return None
        with self._lock:
            return self._hedge.delay_s(model)

    def second(self, model: str, tried: Sequence[str]) -> str | None:
        """Name the second server to ask; None if there is none, or if enough was asked twice."""
        now_s = self.timer.now_s()
        with self._lock:
            lacking = self._catalogue.last(model, now_s)
            url = self._pool.choose(now_s, model, exclude=[*tried, *lacking], open_too=False)
            return url if url is not None and self._hedge is not None and self._hedge.spend() else None

    def done(
        self,
        url: str,
        model: str,
        error: InferenceError | None,
        *,
        heard: bool = True,
        sent_s: float | None = None,
        among: int = 1,
    ) -> None:
        """Note how it ended, whether by the server's own doing, when it was sent, and among how many at the server."""
        now_s = self.timer.now_s()
        took_s = None if sent_s is None else now_s - sent_s
        with self._lock:
            if heard:
                self._heard_s[url] = now_s
            if error is None and took_s is not None and self._hedge is not None:
                self._hedge.ended(model, took_s)
            if url not in self._transports:
                return
            if error is None:  # mostly
                self._pool.done(url, now_s, failed=False, model=model, took_s=took_s, among=among)
                if self._only is None:
                    self._catalogue.found(url, model)
                return
            failed = None if isinstance(error, Cancelled) else error.retryable
            # An error comes sooner than an answer, and says nothing about how long these take.
            took_s = took_s if failed is None else None
            self._pool.done(url, now_s, failed=failed, model=model, took_s=took_s, among=among)
            if not isinstance(error, ModelNotFound):
                return
            self._catalogue.not_found(url, model, now_s)
        self._discovery.begin(again=True)

    def heard_s(self, url: str) -> float:
        """When the server last gave a sign of life."""
        return self._heard_s.get(url, float("-inf"))

    def probe(self, url: str, model: str, timeout_s: float) -> None:
        """Ask a server for a sign of life, unless that is under way. Whatever it answers, it lives."""
        with self._lock:
            transport = self._transports.get(url)
            if transport is None or url in self._probed:
                return
            self._probed.add(url)

        def ask() -> None:
            # Longer than anybody waits for it: running into this limit must not pass for an answer.
            asked_s, limit_s = self.timer.now_s(), 2 * timeout_s + 1
            with suppress(InferenceError):
                transport.model_spec(model, timeout_s=limit_s)
            with self._lock:
                self._probed.discard(url)
                if self.timer.now_s() < asked_s + timeout_s:
                    self._heard_s[url] = self.timer.now_s()

        if not self._probes.run(ask):
            with self._lock:
                self._probed.discard(url)

    def statistics(self) -> tuple[ServerState, ...]:
        """Return what is known of every server."""
        with self._lock:
            states = self._pool.statistics(self.timer.now_s())
        return tuple(replace(state, memory=memory_use(self._transports[state.server])) for state in states)

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
