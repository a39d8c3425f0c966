"""How many requests a second each client gets: token buckets, pure, with time passed in."""

from __future__ import annotations

from sonic.errors import ConfigError

_MAX_BUCKETS = 4096


class RateLimit:
    """A bucket for each client, which fills steadily and from which every request takes one. Not thread-safe.

    Parameters
    ----------
    per_s : float
        Requests a second.
    burst : float or None
        Requests at once, after a pause; None: those of one second, at least one.

    Raises
    ------
    ConfigError
        If a number is not positive.
    """

    def __init__(self, per_s: float, burst: float | None = None) -> None:
        self.per_s = per_s
        self.burst = max(1.0, per_s) if burst is None else burst
        if not 0 < per_s < float("inf") or not 1 <= self.burst < float("inf"):
            raise ConfigError(f"a rate limit is above 0 with a burst of 1 or more, given {per_s:g} and {self.burst:g}")
        self._buckets: dict[str, tuple[float, float]] = {}  # what was in it, and when

    def take(self, client: str, now_s: float) -> float:
        """Take one request's share.

        Parameters
        ----------
        client : str
        now_s : float
            Of a clock that does not go back.

        Returns
        -------
        float
            0 if there was one; otherwise nothing is taken, and there will be one in so many seconds.
        """
        content, when_s = self._buckets.pop(client, (self.burst, now_s))
        content = min(self.burst, content + (now_s - when_s) * self.per_s)
        taken = content >= 1
        self._buckets[client] = content - taken, now_s
        if len(self._buckets) > _MAX_BUCKETS:
            self._forget(now_s)
        return 0.0 if taken else (1 - content) / self.per_s

    def _forget(self, now_s: float) -> None:
        """Drop buckets that are full again, and if that does not suffice those unused for longest."""
        full = [c for c, (n, t) in self._buckets.items() if n + (now_s - t) * self.per_s >= self.burst]
        for client in full or list(self._buckets)[: _MAX_BUCKETS // 2]:
            del self._buckets[client]
