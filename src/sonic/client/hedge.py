"""When to ask a second server for what the first is slow to answer (Dean, Barroso: The Tail at Scale, 2013). Pure."""

from __future__ import annotations

from collections import deque
from math import ceil

_FEWEST = 20
_RECENT = 100
_BURST = 10.0


class Hedge:
    """Knows how long the requests of each model took of late, and how many second ones were sent. Not thread-safe.

    Parameters
    ----------
    quantile : float
        Of the recent latencies of a model: after so long a second server is asked.
    budget : float
        Most second requests, as a part of all requests: a service that is slow as a whole must not be asked twice.
    """

    def __init__(self, quantile: float, budget: float) -> None:
        self._quantile = quantile
        self._budget = budget
        self._took_s: dict[str, deque[float]] = {}
        self._credit = 1.0

    def ended(self, model: str, took_s: float) -> None:
        """Note how long a request took."""
        self._took_s.setdefault(model, deque(maxlen=_RECENT)).append(took_s)
        self._credit = min(self._credit + self._budget, _BURST)

    def delay_s(self, model: str) -> float | None:
        """After how many seconds to ask a second server; None while too little is known."""
        took_s = sorted(self._took_s.get(model, ()))
        if len(took_s) < _FEWEST:
            return None
        return took_s[min(ceil(self._quantile * len(took_s)), len(took_s)) - 1]

    def spend(self) -> bool:
        """Whether a second request may be sent now; if so, it counts as sent."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
