"""Where a request goes: to a server of the pool, to each other one if that fails, then to the fallback."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from sonic.client.deadline import Deadlines
from sonic.client.pool import Pool
from sonic.client.promise import Promise, as_inference_error, failure_of
from sonic.client.workers import Workers
from sonic.errors import Cancelled, DeadlineExceeded, InferenceError, ModelNotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from sonic.client.fallback import Fallback
    from sonic.client.pool import ServerState
    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferRequest, InferResponse

T = TypeVar("T")

_WORKERS = 8


class Router:
    """Owns the ways to several servers and to a fallback. Thread-safe.

    Parameters
    ----------
    transports : sequence of Transport
        Distinct by their URLs.
    fallback : Fallback or None
    rest_s : float
        For how long a server that failed, or has not the model, comes last.
    """

    def __init__(
        self, transports: Sequence[Transport], fallback: Fallback | None = None, *, rest_s: float = 5.0
    ) -> None:
        self._transports = {transport.url: transport for transport in transports}
        self._fallback = fallback
        self._rest_s = rest_s
        self._pool = Pool((transport.url for transport in transports), rest_s=rest_s)
        self._lacking: dict[tuple[str, str], float] = {}
        self._lock = Lock()
        self._live: set[Promise[Any]] = set()
        self._closed = False
        self._workers = Workers(_WORKERS, "sonic-client")
        self._deadlines = Deadlines()

    def promise(self, until_s: float | None, what: str) -> Promise[Any]:
        """Return a promise that ends in DeadlineExceeded when its time is up, and in Cancelled at the close.

        Parameters
        ----------
        until_s : float or None
            By :func:`time.monotonic`.
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
            deadline = self._deadlines.set(until_s, lambda: promise.reject(error))
            promise.on_end(lambda _: deadline.withdraw())
        return promise

    def infer(self, request: InferRequest, until_s: float | None) -> Future[InferResponse]:
        """Send a request; when it fails for want of a server, send it elsewhere, off the caller's thread."""
        promise = self.promise(until_s, f"request to model {request.model!r}")
        if not promise.ended:
            _Journey(self, request, until_s, promise).go()
        return promise

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
        tried: list[str] = []
        errors: list[InferenceError] = []
        while (way := self.choose(model, tried)) is not None:
            url, transport = way
            tried.append(url)
            left_s = None if until_s is None else until_s - monotonic()
            if left_s is not None and left_s <= 0:
                raise DeadlineExceeded(f"model {model!r}: no server answered within the deadline")
            error: InferenceError | None = None
            self.sent(url)
            try:
                return question(transport or self.start_fallback(), left_s)
            except InferenceError as failure:
                error = failure
            finally:
                self.done(url, model, error)
            errors.append(error)
            if not (error.retryable or isinstance(error, ModelNotFound)):
                break
        raise self.summary(model, tried, errors)

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

    def choose(self, model: str, tried: Sequence[str]) -> tuple[str, Transport | None] | None:
        """Name the next way: a server not tried yet, then the fallback (None if it is not started), then no more."""
        now_s = monotonic()
        with self._lock:
            lacking = [url for url in self._transports if self._lacking.get((url, model), now_s) > now_s]
            url = self._pool.choose(now_s, exclude=tried, last=lacking)
        if url is not None:
            return url, self._transports[url]
        if self._fallback is not None and self._fallback.url not in tried:
            return self._fallback.url, self._fallback.transport
        return None

    def start_fallback(self) -> Transport:
        """Return the way to the fallback. Blocks while it is started."""
        if self._fallback is None:
            raise Unavailable("there is no fallback")
        return self._fallback.start()

    def sent(self, url: str) -> None:
        """Note that something went to a server."""
        if url in self._transports:
            with self._lock:
                self._pool.sent(url)

    def done(self, url: str, model: str, error: InferenceError | None) -> None:
        """Note how it ended."""
        if url in self._transports:
            now_s = monotonic()
            with self._lock:
                given_up = isinstance(error, Cancelled)
                self._pool.done(url, now_s, failed=None if given_up else error is not None and error.retryable)
                if isinstance(error, ModelNotFound):
                    self._lacking[url, model] = now_s + self._rest_s
                elif error is None:
                    self._lacking.pop((url, model), None)

    def statistics(self) -> tuple[ServerState, ...]:
        """Return what is known of every server."""
        with self._lock:
            return self._pool.statistics()

    def summary(self, model: str, tried: Sequence[str], errors: Sequence[InferenceError]) -> InferenceError:
        """One error for all that were met on the way."""
        if not errors:
            return Unavailable(f"model {model!r}: there is no server")
        if len(errors) == 1:
            return errors[0]
        main = next((error for error in reversed(errors) if error.retryable), errors[-1])
        if not errors[-1].retryable and not isinstance(errors[-1], ModelNotFound):
            main = errors[-1]
        told = (
            f"{error}" if url in str(error) else f"{url}: {error}" for url, error in zip(tried, errors, strict=True)
        )
        return type(main)(f"model {model!r} failed on {len(errors)} servers: {'; '.join(told)}")

    def close(self) -> None:
        """Release everything. What is in flight ends in Cancelled."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            live = list(self._live)
        for promise in live:
            promise.reject(Cancelled("the client was closed"))
        for transport in self._transports.values():
            transport.close()
        if self._fallback is not None:
            self._fallback.close()
        self._deadlines.close()
        self._workers.close()


class _Journey:
    """One request on its way from server to server."""

    def __init__(
        self, router: Router, request: InferRequest, until_s: float | None, promise: Promise[InferResponse]
    ) -> None:
        self._router = router
        self._request = request
        self._until_s = until_s
        self._promise = promise
        self._tried: list[str] = []
        self._errors: list[InferenceError] = []
        self._sent: Future[InferResponse] | None = None
        self._overdue: DeadlineExceeded | None = None
        promise.on_end(self._give_up)

    def go(self) -> None:
        """Send to the next server; the fallback is started on a thread of the router's."""
        way = self._router.choose(self._request.model, self._tried)
        if way is None:
            self._promise.reject(self._router.summary(self._request.model, self._tried, self._errors))
            return
        url, transport = way
        self._tried.append(url)
        if transport is None:
            self._router.background(lambda: self._send(url, None), self._promise)
        else:
            self._send(url, transport)

    def _send(self, url: str, transport: Transport | None) -> None:
        request = self._request
        if self._until_s is not None:
            request = replace(request, timeout_s=max(self._until_s - monotonic(), 0.0))
        if self._promise.ended:
            return
        self._router.sent(url)
        try:
            self._sent = sent = (transport or self._router.start_fallback()).submit(request)
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            self._failed(url, as_inference_error(error))
            return
        sent.add_done_callback(partial(self._ended, url))
        if self._promise.ended:
            self._promise.on_end(self._give_up)

    def _ended(self, url: str, sent: Future[InferResponse]) -> None:
        self._sent = None
        failure = failure_of(sent)
        if failure is not None:
            self._failed(url, failure)
            return
        self._router.done(url, self._request.model, None)
        self._promise.resolve(sent.result())

    def _failed(self, url: str, error: InferenceError) -> None:
        self._router.done(url, self._request.model, self._overdue or error)
        if self._promise.ended:
            return
        self._errors.append(error)
        if error.retryable or isinstance(error, ModelNotFound):
            # Not here: this may be the thread that brings the answers of a connection.
            self._router.background(self.go, self._promise)
        else:
            self._promise.reject(self._router.summary(self._request.model, self._tried, self._errors))

    def _give_up(self, future: Future[InferResponse]) -> None:
        error = failure_of(future)
        if isinstance(error, DeadlineExceeded):
            self._overdue = error
        sent = self._sent
        if sent is not None:
            sent.cancel()
