"""What a model's executions have taught, and what follows for the next requests. Its owner's lock guards it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sonic.server.scheduling.merging import Merging
from sonic.server.scheduling.pace import Pace
from sonic.server.scheduling.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.server.scheduling.policies import BatchPolicy

_MARGIN = 2.0
"""A request is begun so many usual executions before its deadline, if others wait."""

LINGER_S = 5e-4
"""A wait for company of at most so long is the event loop's, turn after turn: it cannot sleep for so short a time."""


class Experience:
    """Durations by size, how far merging pays, and whether requests come together.

    Parameters
    ----------
    policy : BatchPolicy
    short_s : float
        An execution that takes less is short; 0: none is.

    Attributes
    ----------
    most_rows : int
        Rows that are worth an execution.
    turn : Turn
        Of the event loop that brings requests.
    lingers : bool
        Whether the loop waits for more than one turn for what makes a batch.
    """

    def __init__(self, policy: BatchPolicy, short_s: float) -> None:
        self.most_rows = policy.max_rows
        self.turn = Turn()
        self._max_rows = policy.max_rows
        self._pace = Pace()
        self._short_s = short_s
        self.lingers = 0 < policy.max_delay_s <= LINGER_S
        # Who waits for large batches gets them, whatever they cost.
        self._merging = Merging() if policy.max_rows > 1 and not policy.max_delay_s else None

    @property
    def needed_s(self) -> float:
        """How long before its deadline a request is begun at the latest, if others wait; 0 before the first."""
        return _MARGIN * self._pace.usual_s

    @property
    def clock(self) -> Callable[[], float]:
        """Measures executions in a thread of their own."""
        # Where the times decide something, processor time: by the wall clock, what other threads do would count too.
        return time.thread_time if self._short_s else time.monotonic

    def is_short(self, n_bytes: int) -> bool:
        """Whether an execution with inputs of that size is known to be short."""
        return self._short_s > 0 and self._pace.expected_s(n_bytes) < self._short_s

    def joins(self, n_bytes: int) -> bool:
        """Whether a short request waits for others, to the end of the turn or while the loop lingers.

        One that does not is counted, so that from time to time another is tried.
        """
        if not self.lingers:
            if self._merging is None:
                return False
            if not self.turn.pays:
                self.turn.miss()
                return False
        return self.is_short(self.turn.n_bytes + n_bytes)

    def learn(self, n_bytes: int, rows: int | None, lasted_s: float, busy_s: float) -> None:
        """Take note of an execution.

        Parameters
        ----------
        n_bytes : int
            Of its inputs.
        rows : int or None
            None: it says nothing about rows, since it failed or was repeated.
        lasted_s, busy_s : float
            By the clock on the wall, and what the processor had to do.
        """
        self._pace.learn(lasted_s, busy_s, n_bytes)
        if self._merging is not None and rows:
            self._merging.learn(rows, busy_s)
            self.most_rows = min(self._max_rows, self._merging.most_rows)
