"""How long an execution takes. Pure: chance is an argument."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING, Literal

import msgspec

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from random import Random


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The duration of an execution, by its rows.

    Parameters
    ----------
    execution_s, row_s : float
        What each execution takes, and each of its rows besides.
    table : dict of str to float
        Instead: seconds by rows, straight lines between the points, and beyond the last the last two's line; below the
        first its value.
    scatter : float
        Around that, with that mean: the standard deviation of the logarithm, or for ``exponential`` nothing more.
    distribution : {"lognormal", "exponential"}

    Raises
    ------
    ConfigError
        If it makes no sense.
    """

    execution_s: float = 0.0
    row_s: float = 0.0
    table: dict[str, float] = {}
    scatter: float = 0.0
    distribution: Literal["lognormal", "exponential"] = "lognormal"

    def __post_init__(self) -> None:
        if self.execution_s < 0 or self.row_s < 0 or self.scatter < 0:
            raise ConfigError("execution_s, row_s and scatter of a service are at least 0")
        if bool(self.table) == bool(self.execution_s + self.row_s):
            raise ConfigError("a service has execution_s or row_s above 0, or a table: one of the two")
        for (_, earlier_s), (rows, later_s) in pairwise(self._points):
            if later_s < earlier_s:
                raise ConfigError(f"the table of a service falls at {rows:g} rows, from {earlier_s:g} to {later_s:g} s")

    @cached_property
    def _points(self) -> list[tuple[float, float]]:
        return sorted(self._point(*item) for item in self.table.items())

    @staticmethod
    def _point(rows: str, took_s: float) -> tuple[float, float]:
        if not rows.isdecimal() or int(rows) < 1 or took_s <= 0:
            raise ConfigError(
                f"the table of a service has seconds above 0 by rows, from 1; given {rows!r} = {took_s:g}"
            )
        return float(rows), took_s

    def mean_s(self, rows: int) -> float:
        """Return how long an execution of so many rows takes on average."""
        if not self.table:
            return self.execution_s + self.row_s * rows
        points = self._points
        i = bisect_left(points, (rows, 0.0))
        if i == 0 or len(points) == 1:
            return points[0][1]
        (x0, y0), (x1, y1) = points[min(i, len(points) - 1) - 1], points[min(i, len(points) - 1)]
        return y0 + (y1 - y0) * (rows - x0) / (x1 - x0)

    def draw_s(self, rows: int, random: Random) -> float:
        """Return how long one takes."""
        mean_s = self.mean_s(rows)
        if self.distribution == "exponential":
            return mean_s * random.expovariate(1.0)
        if not self.scatter:
            return mean_s
        return mean_s * exp(random.gauss(-0.5 * self.scatter**2, self.scatter))
