"""Looking for the next request for a moment, where an event loop would sleep at once.

A core with nothing to do sleeps. To wake it takes microseconds, on a virtual machine tens of them, and it is slow for a
while after. A client that sends its next request as soon as it has the answer to the last pays for that each time, if
it is the only one. So the loop goes on looking, if the last requests came soon, and only while none is in hand: a
thread that executes a model is not disturbed.

That is work in vain where no request comes, or where its client waits for this very core, so that requests come no
sooner than to a loop that sleeps. Each time that it was, more requests must come soon before it is tried again.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_US = 500
"""For how long, in microseconds, where the process does nothing but serve."""
_LEAST, _MOST = 8, 4096
"""Requests in a row that must have come soon."""
_TRIAL = 32
"""After so many more it is judged."""


class BusyPoll:
    """Keeps an event loop awake. For its thread.

    Parameters
    ----------
    limit_s : float
        For how long; what comes later does not come soon. 0: never.
    soon : callable
        The loop's ``call_soon``.
    now_s : callable
        Returns seconds that never go back.

    Attributes
    ----------
    in_hand : int
        Requests, or connections that have some.
    """

    def __init__(
        self, limit_s: float, soon: Callable[[Callable[[], None]], object], now_s: Callable[[], float] = perf_counter
    ) -> None:
        self._limit_s = limit_s
        self._soon = soon
        self._now_s = now_s
        self.in_hand = 0
        self._since_s = -limit_s  # when nothing was left in hand
        self._needed = _LEAST
        self._row = 0  # of requests that came soon
        self._mean_s = 0.0  # how soon
        self._asleep_s = 0.0  # how soon the last row came to the loop that sleeps
        self._tries = False  # to look, whenever nothing is in hand
        self._looks = False

    def begin(self) -> None:
        """Know of a request."""
        self.in_hand += 1
        if self.in_hand > 1:
            return
        past_s = self._now_s() - self._since_s
        if past_s >= self._limit_s:
            self._row = 0
            return
        self._row += 1
        self._mean_s += (past_s - self._mean_s) / self._row
        if not self._tries:
            if self._row >= self._needed:
                self._asleep_s = self._mean_s
                self._tries, self._row = True, 0
        elif self._row >= _TRIAL:
            self._row = 0
            if self._mean_s < self._asleep_s:
                self._needed = _LEAST
            else:
                self._give_up()

    def end(self) -> None:
        """Know that one is answered, or that its client has gone."""
        self.in_hand -= 1
        if self.in_hand:
            return
        self._since_s = self._now_s()
        if self._tries and not self._looks:
            self._looks = True
            self._soon(self._look)

    def _look(self) -> None:
        if self.in_hand or not self._tries:
            self._looks = False
        elif self._now_s() - self._since_s < self._limit_s:
            self._soon(self._look)
        else:
            self._looks = False
            self._give_up()

    def _give_up(self) -> None:
        self._tries, self._row = False, 0
        self._needed = min(2 * self._needed, _MOST)
