"""One request on its way from server to server, until it ends."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from sonic.client.promise import as_inference_error, failure_of
from sonic.client.retry import summary
from sonic.errors import Cancelled, DeadlineExceeded, ModelNotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sonic.client.choice import Choice
    from sonic.client.deadline import Deadline, Timer
    from sonic.client.pool import Sending
    from sonic.client.promise import Promise
    from sonic.client.retry import Chain, Step
    from sonic.client.settings import ClientSettings
    from sonic.client.signs import Signs
    from sonic.client.transport import Transport, WaitingTransport
    from sonic.errors import InferenceError
    from sonic.protocol.messages import InferRequest, InferResponse

_LEAST_PATIENCE_S = 0.2
"""A server that is merely busy may take so long for a sign of life, however near the deadline is."""


class Ways(Protocol):
    """What a request needs of the client that it belongs to."""

    settings: ClientSettings
    timer: Timer
    choice: Choice
    signs: Signs

    def background(self, task: Callable[[], object], promise: Promise[Any]) -> None:
        """Run a task that may block; whatever it raises ends the promise."""

    def way(self, url: str) -> Transport | None:
        """Return the transport to a server; None if the fallback is not started."""

    def start_fallback(self) -> Transport:
        """Start it. Blocks."""

    def waiting(self, url: str) -> WaitingTransport | None:
        """Return the transport to a server, if it lets the thread that waits for an answer bring it."""

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

    def ended(self, promise: Promise[Any]) -> None:
        """Note that a request is over."""


class Attempt:
    """One sending of a request to one server. It is settled once: by the server, by a clock or by its owner."""

    __slots__ = ("sending", "sent", "sent_s", "settled", "timers", "url")

    def __init__(self, url: str, sent_s: float, sending: Sending) -> None:
        self.url = url
        self.sent_s = sent_s
        self.sending = sending
        self.sent: Future[InferResponse] | None = None
        self.settled = False
        self.timers: list[Deadline] = []

    def give_up(self) -> None:
        """Cancel what was sent, and let go of it: it knows of this attempt, and the two would keep each other."""
        sent, self.sent = self.sent, None
        if sent is not None:
            sent.cancel()


class Journey:
    """A request that is sent, watched, sent again, and ends its promise once.

    Parameters
    ----------
    ways : Ways
    request : InferRequest
    until_s : float or None
        The request's deadline, by the clock of the ways' timer.
    promise : Promise
    convert : callable, optional
        Makes of the response what the promise is to end in; may raise an InferenceError. Must not block.
    """

    __slots__ = (
        "_attempts",
        "_chain",
        "_convert",
        "_deadline",
        "_errors",
        "_failed_at",
        "_lock",
        "_pause",
        "_promise",
        "_request",
        "_tried",
        "_until_s",
        "_ways",
    )

    def __init__(
        self,
        ways: Ways,
        request: InferRequest,
        until_s: float | None,
        promise: Promise[Any],
        convert: Callable[[InferResponse], object] | None = None,
    ) -> None:
        self._ways = ways
        self._request = request
        self._until_s = until_s
        self._promise = promise
        self._convert = convert
        self._chain: Chain | None = None
        self._lock = Lock()
        self._tried: list[str] = []
        self._failed_at: list[str] = []
        self._errors: list[InferenceError] = []
        self._attempts: list[Attempt] = []
        self._pause: Deadline | None = None
        self._deadline: Deadline | None = None
        promise.on_end(self._over)

    def go(self, *, here: bool = False) -> None:
        """Send to the first server; a fallback is started on another thread.

        Parameters
        ----------
        here : bool
            Whether this thread has nothing to do but to wait for the answer, and may bring it. If the first server
            does not answer, others bring it.
        """
        if self._until_s is not None:
            self._deadline = self._ways.timer.set(self._until_s, self._late)
            if self._promise.ended:
                self._deadline.withdraw()
        url = self._ways.choice.first(self._request.model)
        if url is None:
            self._promise.reject(summary(self._request.model, (), ()))
        elif self._ways.way(url) is None:
            self._ways.background(partial(self._send, url), self._promise)
        else:
            self._send(url, here=here)

    def _late(self) -> None:
        what = f"request to model {self._request.model!r}"
        self._promise.reject(DeadlineExceeded(f"{what} did not end within its deadline"))

    def _send(self, url: str, *, here: bool = False) -> None:
        ways, request, until_s = self._ways, self._request, self._until_s
        now_s = ways.timer.now_s()
        attempt = Attempt(url, now_s, ways.choice.sent(url))
        with self._lock:
            over = self._promise.ended
            if not over:
                self._tried.append(url)
                self._attempts.append(attempt)
        if over:
            ways.done(url, request.model, Cancelled("the request was given up"), heard=False, sending=attempt.sending)
            return
        limit_s = ways.settings.attempt_timeout_s
        if until_s is not None:
            limit_s = until_s - now_s if limit_s is None else min(until_s - now_s, limit_s)
        if limit_s is not None:
            request = replace(request, timeout_s=max(limit_s, 0.0))
        waiting = ways.waiting(url) if here else None
        bring: Callable[[], object] | None = None
        try:
            if waiting is not None:
                sent, bring = waiting.begin(request)
            else:
                sent = (ways.way(url) or ways.start_fallback()).submit(request)
        except Exception as error:  # noqa: BLE001 - becomes the future's error
            self._settle(attempt, as_inference_error(error))
            return
        attempt.sent = sent
        sent.add_done_callback(partial(self._ended, attempt))
        if attempt.settled:
            attempt.give_up()
        elif not url.startswith("local:"):
            self._watch(attempt)
        if bring is not None:
            bring()

    def _ended(self, attempt: Attempt, sent: Future[InferResponse]) -> None:
        error = failure_of(sent)
        if error is not None:
            self._settle(attempt, error)
            return
        if not self._close(attempt):
            return
        attempt.sent = None
        self._ways.done(attempt.url, self._request.model, None, sent_s=attempt.sent_s, sending=attempt.sending)
        answer: Any = sent.result()
        if self._convert is not None:
            try:
                answer = self._convert(answer)
            except Exception as failure:  # noqa: BLE001 - becomes the future's error
                self._promise.reject(as_inference_error(failure))
                return
        self._promise.resolve(answer)

    def _settle(self, attempt: Attempt, error: InferenceError, *, heard: bool = True) -> None:
        if not self._close(attempt):
            return
        model = self._request.model
        self._ways.done(attempt.url, model, error, heard=heard, sending=attempt.sending)
        attempt.give_up()
        with self._lock:
            self._failed_at.append(attempt.url)
            self._errors.append(error)
            if self._promise.ended or (self._attempts and (error.retryable or isinstance(error, ModelNotFound))):
                return
        self._go_on(error)

    def _hedge(self) -> None:
        url = self._ways.choice.second(self._request.model, self._tried)
        if url is not None and not self._promise.ended:
            self._send(url)

    def _go_on(self, error: InferenceError) -> None:
        ways, timer, model = self._ways, self._ways.timer, self._request.model
        with self._lock:
            if self._chain is None:
                self._chain = ways.choice.chain()
            step = ways.choice.step(model, self._chain, error, self._tried, self._left_s())
        if step is None:
            self._promise.reject(summary(model, self._failed_at, self._errors))
            return
        # Not here: this may be the thread that brings the answers of a connection.
        take = partial(ways.background, partial(self._take, step, error), self._promise)
        if step.delay_s <= 0:
            take()
            return
        self._pause = timer.set(timer.now_s() + step.delay_s, take)
        if self._promise.ended:
            self._pause.withdraw()

    def _take(self, step: Step, error: InferenceError) -> None:
        url = self._ways.choice.follow(self._request.model, step, self._tried)
        if url is None:  # another request found out meanwhile that there is no use in it
            self._go_on(error)
        else:
            self._send(url)

    def _close(self, attempt: Attempt) -> bool:
        """Whether the attempt is settled by this call."""
        with self._lock:
            if attempt.settled:
                return False
            attempt.settled = True
            self._attempts.remove(attempt)
            timers, attempt.timers = attempt.timers, []
        for timer in timers:
            timer.withdraw()
        return True

    def _over(self, future: Future[Any]) -> None:
        self._ways.ended(self._promise)
        for timer in (self._deadline, self._pause):
            if timer is not None:
                timer.withdraw()
        if not self._attempts:
            return
        error = failure_of(future)
        # A server that lets the time run out is to blame for it; one whose answer is not wanted any more is not.
        blame = error if isinstance(error, DeadlineExceeded) else Cancelled("the request was given up")
        with self._lock:
            attempts = list(self._attempts)
        for attempt in attempts:
            if self._close(attempt):
                self._ways.done(
                    attempt.url,
                    self._request.model,
                    blame,
                    heard=False,
                    sent_s=attempt.sent_s,
                    sending=attempt.sending,
                )
            attempt.give_up()

    def _left_s(self) -> float | None:
        return None if self._until_s is None else self._until_s - self._ways.timer.now_s()

    # A server can be frozen, or the network can swallow what is sent, and no error ever comes.

    def _watch(self, attempt: Attempt) -> None:
        ways, sent_s = self._ways, attempt.sent_s
        settings, timer = ways.settings, ways.timer
        patience_s = settings.silence_s
        if self._until_s is not None:
            patience_s = min(patience_s, max((self._until_s - sent_s) / 4, _LEAST_PATIENCE_S))
        timers = [timer.set(sent_s + patience_s, partial(self._ask, attempt, patience_s))]
        if settings.attempt_timeout_s is not None:
            timers.append(timer.set(sent_s + settings.attempt_timeout_s, partial(self._too_slow, attempt)))
        hedge_s = ways.choice.hedge_s(self._request.model) if len(self._tried) == 1 else None
        if hedge_s is not None:
            hedge = partial(ways.background, self._hedge, self._promise)
            timers.append(timer.set(sent_s + hedge_s, hedge))
        with self._lock:
            if not attempt.settled:
                attempt.timers += timers
                return
        for each in timers:
            each.withdraw()

    def _too_slow(self, attempt: Attempt) -> None:
        limit_s = self._ways.settings.attempt_timeout_s
        self._settle(attempt, DeadlineExceeded(f"{attempt.url}: no answer within {limit_s:g} s"), heard=False)

    def _ask(self, attempt: Attempt, patience_s: float) -> None:
        now_s = self._ways.timer.now_s()
        again_s = max(attempt.sent_s, self._ways.signs.heard_s(attempt.url)) + patience_s
        if again_s > now_s:
            self._at(attempt, again_s, lambda: self._ask(attempt, patience_s))
            return
        self._at(attempt, now_s + patience_s, lambda: self._judge(attempt, patience_s, now_s))
        self._ways.signs.probe(attempt.url, self._request.model, patience_s)

    def _judge(self, attempt: Attempt, patience_s: float, asked_s: float) -> None:
        heard_s = self._ways.signs.heard_s(attempt.url)
        if heard_s >= asked_s:
            self._at(attempt, heard_s + patience_s, lambda: self._ask(attempt, patience_s))
            return
        quiet_s = self._ways.timer.now_s() - max(attempt.sent_s, heard_s)
        self._settle(attempt, Unavailable(f"{attempt.url}: no sign of life for {quiet_s:.3g} s"), heard=False)

    def _at(self, attempt: Attempt, at_s: float, action: Callable[[], object]) -> None:
        with self._lock:
            if attempt.settled:
                return
            attempt.timers = [timer for timer in attempt.timers if not timer.withdrawn]
            attempt.timers.append(self._ways.timer.set(at_s, action))
