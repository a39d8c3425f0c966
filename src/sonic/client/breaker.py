"""Whether a server that keeps failing is left alone: a circuit breaker. Pure: time is an argument."""

from __future__ import annotations

from typing import Literal

Circuit = Literal["closed", "open", "half-open"]


class Breaker:
    """Opens after failures in a row, lets one request at a time try after a rest, and closes when that succeeds.

    Not thread-safe.

    Parameters
    ----------
    failures : int
        So many in a row open it.
    rest_s : float
        How long it stays open at first; doubled whenever the request that tries fails.
    max_rest_s : float
        How long at most.
    """

    def __init__(self, failures: int, rest_s: float, max_rest_s: float) -> None:
        self._most = failures
        self._first_s = rest_s
        self._max_s = max(rest_s, max_rest_s)
        self._failures = 0
        self._rest_s = rest_s
        self._until_s: float | None = None
        self._trials = 0
        self._trial = 0  # the number of the one that is under way; 0: none is

    def circuit(self, now_s: float) -> Circuit:
        """Say how it stands."""
        if self._until_s is None:
            return "closed"
        return "open" if now_s < self._until_s else "half-open"

    def admits(self, now_s: float) -> bool:
        """Whether a request may go to the server now."""
        return self._until_s is None or (now_s >= self._until_s and not self._trial)

    def sent(self, now_s: float) -> int:
        """Note that a request went to the server; return the number of the trial that it is, 0 if it is none."""
        if self._until_s is None or not self.admits(now_s):
            return 0
        self._trials += 1
        self._trial = self._trials
        return self._trial

    def ended(self, now_s: float, *, failed: bool | None, trial: int) -> None:
        """Note that one ended.

        Parameters
        ----------
        now_s : float
        failed : bool or None
            None: nobody knows whether the server is to blame.
        trial : int
            As :meth:`sent` said of it.
        """
        tried = trial != 0 and trial == self._trial
        if tried:
            self._trial = 0
        if failed is None:
            return
        if not failed:
            self._failures, self._until_s, self._rest_s, self._trial = 0, None, self._first_s, 0
            return
        self._failures += 1
        if self._until_s is None and self._failures >= self._most:
            self._until_s = now_s + self._rest_s
        elif self._until_s is not None and tried:
            # What was sent before it opened, or because there was no other server, fails too, and says nothing new.
            self._rest_s = min(2 * self._rest_s, self._max_s)
            self._until_s = now_s + self._rest_s
