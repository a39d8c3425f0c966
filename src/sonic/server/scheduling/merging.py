"""How many rows are worth one execution, found out by experiment.

A small dense network takes hardly longer for a hundred rows than for one. One whose intermediate results outgrow the
processor's caches takes longer for each row, and whoever is merged into a large batch only waits for the others.

Now and then what is usual is executed by turns with single requests, or with half or twice as much, and the better of
the two is usual from then on. By turns, because machines are shared: one that slows down in between slows both down.
"""

from __future__ import annotations

import sys
from itertools import cycle
from statistics import median

_BESIDES_S = 5e-5
"""What the server does around an execution, in seconds: all of it is saved where requests are merged."""
_BETTER = 0.98
"""Another size becomes the usual one if a row then costs less than this share; a smaller gain may be chance."""
_DOUBT = 0.3
"""How much further off the share must be after one pair of executions; after n pairs, an n-th of it."""
_SOME, _ENOUGH = 3, 15
"""Fewer pairs decide nothing, since the machine may change its speed within one; so many always do."""
_PATIENCE = 8 * _ENOUGH
"""Executions after which an experiment that still has too few pairs is given up."""
_ALONE = -sys.maxsize.bit_length()
"""The step down to single rows, from any size."""
_STEPS = (_ALONE, 1, -1)
"""From the usual size to the one it is compared with, by turns; the first tells whether merging does any good."""
_FIRST_AFTER, _SELDOM_AFTER = 2, 4096
"""Executions before the first experiment, and at most between two: each that changes nothing doubles the pause."""


class Merging:
    """How many rows are worth an execution, found to a power of two: sizes are the bits of a number of rows.

    Not thread-safe: its owner's lock guards it.

    Attributes
    ----------
    most_rows : int
        That the next execution is to have at most.
    """

    def __init__(self) -> None:
        self.most_rows = sys.maxsize
        self._usual_rows = sys.maxsize  # what that is while there is no experiment
        self._steps = cycle(_STEPS)
        self._left = self._pause = _FIRST_AFTER
        self._largest = 0
        self._experiment: _Experiment | None = None

    def learn(self, rows: int, busy_s: float) -> None:
        """Take note of an execution.

        Parameters
        ----------
        rows : int
            At least 1.
        busy_s : float
            What the processor had to do.
        """
        size = rows.bit_length()
        self._left -= 1
        if self._experiment is not None:
            self._experiment.learn(size, (busy_s + _BESIDES_S) / rows)
            self._go_on(self._experiment)
        elif size > self._largest:  # larger than any before: nothing is known of that
            self._largest = size
            self._steps = cycle(_STEPS)
            self._left = self._pause = _FIRST_AFTER
        elif self._left <= 0:
            self._begin(size, next(self._steps))

    def _begin(self, size: int, step: int) -> None:
        if size == 1 or (step > 0 and self._usual_rows == sys.maxsize):
            return  # no size is smaller, or larger; the next execution may have another size
        self._experiment = _Experiment(size, max(1, size + step))
        self._left = _PATIENCE
        self.most_rows = self._experiment.other_rows

    def _go_on(self, experiment: _Experiment) -> None:
        better = experiment.better()
        if better:
            self._usual_rows = experiment.other_rows
            self._pause = self._left = _FIRST_AFTER
        elif better is False or self._left <= 0:
            self._rest()
        else:
            self.most_rows = experiment.other_rows if experiment.other_next else self._usual_rows
            return
        self._experiment = None
        self.most_rows = self._usual_rows

    def _rest(self) -> None:
        self._left = self._pause = min(2 * self._pause, _SELDOM_AFTER)


class _Experiment:
    """What a row costs in executions of the usual size, and in smaller or in larger ones."""

    def __init__(self, usual: int, other: int) -> None:
        self.other_rows: int = 2**other - 1
        self._usual = usual
        self._larger = other > usual
        self._usual_s: list[float] = []
        self._other_s: list[float] = []

    @property
    def other_next(self) -> bool:
        """Whether it is the other one's turn."""
        return len(self._usual_s) > len(self._other_s)

    def learn(self, size: int, row_s: float) -> None:
        """Take note of an execution; requests are not split, so it may be larger than was meant."""
        if size > self._usual if self._larger else size < self._usual:
            self._other_s.append(row_s)
            self.other_rows = max(self.other_rows, 2**size - 1)
        else:
            self._usual_s.append(row_s)

    def better(self) -> bool | None:
        """Whether a row costs less in the others; None if it is not known yet."""
        pairs = [other_s / usual_s for other_s, usual_s in zip(self._other_s, self._usual_s, strict=False)]
        if len(pairs) < _SOME:
            return None
        ratio = median(pairs)
        doubt = _DOUBT / len(pairs) if len(pairs) < _ENOUGH else 0.0
        if ratio < _BETTER - doubt:
            return True
        return False if ratio > 1 / _BETTER + doubt or not doubt else None
