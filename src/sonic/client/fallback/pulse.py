"""Notice that a server owes answers and gives none: it may be frozen, and then no error ever comes."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.client.deadline import Timer


class Pulse:
    """Watches a server for as long as it owes answers. Thread-safe.

    Parameters
    ----------
    timer : Timer
    silence_s : float
        After so long without any answer it is to be asked for a sign of life, and after as long again.
    ask : callable
        Asks it. Must not block.
    """

    def __init__(self, timer: Timer, silence_s: float, ask: Callable[[], object]) -> None:
        self._timer = timer
        self._silence_s = silence_s
        self._ask = ask
        self._lock = Lock()
        self._owed = 0
        self._heard_s = 0.0
        self._watching = False

    def sent(self) -> None:
        """Note that it owes one answer more."""
        with self._lock:
            self._owed += 1
            if self._watching:
                return
            self._watching = True
            self._heard_s = self._timer.now_s()
            at_s = self._heard_s + self._silence_s
        self._timer.set(at_s, self._look)

    def ended(self) -> None:
        """Note that it answered, whatever."""
        with self._lock:
            self._owed -= 1
            self._heard_s = self._timer.now_s()

    def _look(self) -> None:
        now_s = self._timer.now_s()
        with self._lock:
            self._watching = self._owed > 0
            at_s = self._heard_s + self._silence_s
        if not self._watching:
            return
        if at_s <= now_s:
            self._ask()
            at_s = now_s + self._silence_s
        self._timer.set(at_s, self._look)
