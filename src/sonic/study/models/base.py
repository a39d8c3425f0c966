"""What a capacity model is: throughput by the number of clients, with parameters that have names and units. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.study.saturation import PART

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

_MOST_CLIENTS = 1 << 20


@dataclass(frozen=True)
class Parameter:
    """One number of a model.

    Parameters
    ----------
    name : str
        Ends in its unit.
    text : str
        What it means.
    low, high : float
        Between which it makes sense.
    """

    name: str
    text: str
    low: float = 0.0
    high: float = np.inf


@dataclass(frozen=True)
class Value:
    """A number that a fit finds, and its standard error; or what it lies above or below.

    Parameters
    ----------
    value : float
        Of the least chi2; nan if the points do not even bound it. Where they bound it on one side, chi2 is as small
        anywhere on the other, and this is but one place of many.
    error : float
        Standard error; nan where it is not known.
    at_least, at_most : float or None
        Where the points tell one side alone: what they exclude with 95 % begins below, or above.
    """

    value: float
    error: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether the points bound it on one side alone, or on none."""
        return self.at_least is not None or self.at_most is not None or bool(np.isnan(self.value))


@dataclass(frozen=True)
class Points:
    """What a model is fitted to.

    Parameters
    ----------
    clients : float array [n]
        Growing.
    throughput : float array [n]
        1/s.
    error : float array [n] or None
        Standard errors; None if they are not known.
    """

    clients: FloatArray
    throughput: FloatArray
    error: FloatArray | None = None

    @property
    def cycle_s(self) -> float:
        """From one request of a client to its next, at the first point."""
        return float(self.clients[0] / self.throughput[0])

    @property
    def most(self) -> float:
        """The largest throughput."""
        return float(self.throughput.max())


@dataclass(frozen=True)
class Model:
    """A way for throughput to depend on the number of clients.

    Parameters
    ----------
    name : str
    text : str
        What it assumes.
    source : str
    parameters : tuple of Parameter [k]
    rate : callable
        (clients [n], values [k]) -> throughput in 1/s [n].
    start : callable
        Points -> values [k] to begin a fit with.
    capacity : callable
        values [k] -> the largest throughput that any number of clients gets, 1/s; infinite if there is none.
    alone : callable
        values [k] -> what one client gets that never waits for another, 1/s.
    smooth : bool
        Whether throughput has slopes everywhere.
    peak : callable
        values [k] -> the whole number of clients that gets the most, beyond which throughput falls; infinite, as by
        default, if more clients never get less.
    """

    name: str
    text: str
    source: str
    parameters: tuple[Parameter, ...]
    rate: Callable[[FloatArray, FloatArray], FloatArray]
    start: Callable[[Points], list[float]]
    capacity: Callable[[FloatArray], float]
    alone: Callable[[FloatArray], float]
    smooth: bool = True
    peak: Callable[[FloatArray], float] = lambda _: float(np.inf)

    def predict(self, clients: FloatArray, values: FloatArray) -> FloatArray:
        """Return throughput, 1/s [n]."""
        return self.rate(np.atleast_1d(np.asarray(clients, float)), np.asarray(values, float))

    def knee(self, values: FloatArray) -> float:
        """Return the clients that keep the server busy without waiting for each other."""
        return float(self.capacity(values) / self.alone(values))

    def saturation(self, values: FloatArray) -> float:
        """Return the smallest number of clients with 95 % of the capacity; infinite if none has it.

        Clients are whole: between the last number without and the first with it, a straight line says where.
        """
        wanted = PART * self.capacity(values)
        if not np.isfinite(wanted):
            return float(np.inf)

        def reached(clients: float) -> float:
            return float(self.predict(np.array([clients]), values)[0]) - wanted

        peak = self.peak(values)
        low = high = 1
        while reached(high) < 0:
            if high >= min(peak, _MOST_CLIENTS):
                return float(np.inf)
            low, high = high, int(min(2 * high, peak))  # behind the peak it may not be reached again
        if high == 1:
            return 1.0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) >= 0 else (middle, high)
        below, above = reached(low), reached(high)
        return low - below / (above - below)
