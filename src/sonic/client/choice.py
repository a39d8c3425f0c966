"""Which server next, at first and after a failure, by what is known of them all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sonic.client.hedge import Hedge
from sonic.client.pool import ALONE, Pool
from sonic.client.retry import Chain
from sonic.errors import Cancelled, ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random
    from threading import Lock

    from sonic.client.catalogue import Catalogue
    from sonic.client.deadline import Timer
    from sonic.client.pool import Sending, ServerState
    from sonic.client.retry import Step
    from sonic.client.settings import Action, ClientSettings
    from sonic.errors import InferenceError


class Choice:
    """Chooses among servers and a fallback, and is told how each fares. Thread-safe.

    Parameters
    ----------
    servers : sequence of str
        Distinct URLs.
    fallback : str or None
        Its URL.
    settings : ClientSettings
    catalogue : Catalogue
        Of the servers.
    lock : Lock
        Guards the catalogue, and all else here.
    timer : Timer
    random : random.Random
        What the jitter of pauses is drawn from.
    """

    def __init__(
        self,
        servers: Sequence[str],
        fallback: str | None,
        settings: ClientSettings,
        catalogue: Catalogue,
        lock: Lock,
        timer: Timer,
        random: Random,
    ) -> None:
        self._servers = frozenset(servers)
        self._fallback = fallback
        self._only = servers[0] if len(servers) == 1 and fallback is None else None
        self._settings = settings
        self._catalogue = catalogue
        self._lock = lock
        self._timer = timer
        self._random = random
        self._pool = Pool(
            servers,
            rest_s=settings.rest_s,
            breaker_failures=settings.breaker_failures,
            breaker_max_rest_s=settings.breaker_max_rest_s,
            preferred=settings.preferred,
            strict=settings.strict_preferred,
        )
        self._by_fallback: Counter[str] = Counter()
        quantile = settings.hedge_quantile
        self._hedge = None if quantile is None else Hedge(quantile, settings.hedge_budget)

    def first(self, model: str) -> str | None:
        """Name the server to try first: the fallback, if there is no other; None if there is none at all."""
        return self._only or self.next(model, ())

    def next(self, model: str, tried: Sequence[str]) -> str | None:
        """Name a server that was not tried, the fallback last; None if there is none."""
        url = self._choose(model, tried)
        if url is None and self._fallback is not None and self._fallback not in tried:
            return self._fallback
        return url

    def chain(self) -> Chain:
        """Begin a chain of retries."""
        return Chain(self._settings, self._random)

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
        if self._fallback is not None and self._fallback not in tried:
            possible.add("fallback")
        return chain.next(error, possible, left_s)

    def follow(self, model: str, step: Step, tried: Sequence[str]) -> str | None:
        """Name the server for a step; None if there is none any more."""
        if step.action == "same":
            return tried[-1] if self._admits(tried) else None
        if step.action == "fallback":
            return self._fallback
        return self._choose(model, tried if step.action == "different" else (), tried)

    def hedge_s(self, model: str) -> float | None:
        """After how long to ask a second server; None: not at all."""
        if self._hedge is None or len(self._servers) < 2:
            return None
        with self._lock:
            return self._hedge.delay_s(model)

    def second(self, model: str, tried: Sequence[str]) -> str | None:
        """Name the second server to ask; None if there is none, or if enough was asked twice."""
        now_s = self._timer.now_s()
        with self._lock:
            lacking = self._catalogue.last(model, now_s)
            url = self._pool.choose(now_s, model, exclude=[*tried, *lacking], open_too=False)
            return url if url is not None and self._hedge is not None and self._hedge.spend() else None

    def sent(self, url: str) -> Sending:
        """Note that something went to a server; return what :meth:`done` is to know of it."""
        if url not in self._servers:
            return ALONE
        with self._lock:
            return self._pool.sent(url, self._timer.now_s())

    def done(
        self,
        url: str,
        model: str,
        error: InferenceError | None,
        now_s: float,
        *,
        sent_s: float | None = None,
        sending: Sending = ALONE,
    ) -> bool:
        """Note how it ended, when it was sent, and what was noted then.

        Returns
        -------
        bool
            Whether a server turned out to lack the model.
        """
        took_s = None if sent_s is None else now_s - sent_s
        with self._lock:
            if error is None and took_s is not None and self._hedge is not None:
                self._hedge.ended(model, took_s)
            if url not in self._servers:
                if error is None and took_s is not None:  # a question about a model has no time
                    self._by_fallback[model] += 1
                return False
            if error is None:  # mostly
                self._pool.done(url, now_s, failed=False, model=model, took_s=took_s, sending=sending)
                if self._only is None:
                    self._catalogue.found(url, model)
                return False
            failed = None if isinstance(error, Cancelled) else error.retryable
            # An error comes sooner than an answer, and says nothing about how long these take.
            took_s = took_s if failed is None else None
            self._pool.done(url, now_s, failed=failed, refused=True, model=model, took_s=took_s, sending=sending)
            if not isinstance(error, ModelNotFound):
                return False
            self._catalogue.not_found(url, model, now_s)
            return True

    def statistics(self) -> tuple[ServerState, ...]:
        """Return what is known of every server, but for the memory shared with it."""
        with self._lock:
            return self._pool.statistics(self._timer.now_s())

    def by_fallback(self) -> dict[str, int]:
        """Return how many requests the fallback has answered, by model."""
        with self._lock:
            return dict(self._by_fallback)

    def _choose(self, model: str, exclude: Sequence[str], tried: Sequence[str] | None = None) -> str | None:
        now_s = self._timer.now_s()
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
        return self._fallback is None or self._fallback in tried

    def _admits(self, tried: Sequence[str]) -> bool:
        url = tried[-1]
        with self._lock:
            return url not in self._servers or self._none_left(tried) or self._pool.admits(url, self._timer.now_s())
