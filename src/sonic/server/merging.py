"""How many rows are worth one execution, learnt from the executions that were.

A small dense network takes hardly longer for a hundred rows than for one. One whose intermediate results outgrow the
processor's caches takes longer for each row, and whoever is merged into a large batch only waits for the others.
"""

from __future__ import annotations

import sys
from collections import Counter

_WORSE = 1.08
"""A row may cost so much more among more rows: what is saved elsewhere is not seen here, and no clock is exact."""
_SLOWER = 1.02
"""An execution that took longer than others of its size is believed so far: mostly another process had the core."""
_ENOUGH = 3
"""Executions of a size by which it is judged."""
_FORGOTTEN = 0.9995
"""What is left, after each execution that was limited, of what the next size costs: so it is tried again, seldom."""
_NO_LIMIT = sys.maxsize.bit_length()
_TRIES_FROM, _TRIES_EVERY = 32, 8
"""From which execution on, and how often, one is made smaller than it could be: in a loaded server none else is."""


class Merging:
    """What a row costs, by the size of the execution that it is in; sizes are powers of two.

    Not thread-safe: its owner's lock guards it.

    Attributes
    ----------
    most_rows : int
        Of the next execution: above, a row is known to cost more, or what fewer rows cost is to be found out.
    """

    def __init__(self) -> None:
        self.most_rows = sys.maxsize
        self._executions = 0
        self._row_s: dict[int, float] = {}  # by size, the bits of the number of rows
        self._seen: Counter[int] = Counter()
        self._tried: Counter[int] = Counter()
        self._trust = 1.0  # in what the first size that is too large costs

    def learn(self, rows: int, busy_s: float) -> None:
        """Take note of an execution.

        Parameters
        ----------
        rows : int
            At least 1.
        busy_s : float
            What the processor had to do.
        """
        self._executions += 1
        size = rows.bit_length()
        row_s = busy_s / rows
        self._row_s[size] = min(row_s, _SLOWER * self._row_s.get(size, row_s))
        self._seen[size] += 1
        largest = self._largest(1.0)
        self._trust = self._trust * _FORGOTTEN if size <= largest < _NO_LIMIT else 1.0
        if self._executions >= _TRIES_FROM and not self._executions % _TRIES_EVERY:
            self.most_rows = 2 ** min(self._largest(self._trust), self._unknown(size)) - 1
        else:
            self.most_rows = 2 ** self._largest(self._trust) - 1

    def _largest(self, trust: float) -> int:
        """Return the last size before a row costs more, if the first of those where it does is trusted so far."""
        best_s = float("inf")
        for size in sorted(self._row_s):
            if trust * self._row_s[size] > _WORSE * best_s and self._seen[size] >= _ENOUGH:
                return size - 1
            if self._row_s[size] > _WORSE * best_s:
                trust = 1.0
            best_s = min(best_s, self._row_s[size])
        return _NO_LIMIT

    def _unknown(self, below: int) -> int:
        """Return a size of which too little is known; requests may all be larger, so it is not tried for ever."""
        for size in range(1, below):
            if self._seen[size] < _ENOUGH and self._tried[size] < _ENOUGH:
                self._tried[size] += 1
                return size
        return _NO_LIMIT
