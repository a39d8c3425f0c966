"""The number of clients from which a server gives no more: what it means, and where measured points have it. Pure.

Two definitions, both used for measured points and for models:

- The *knee* is where two straight lines cross: throughput that grows with the clients as if each were alone, and the
  plateau. It is the number of clients that keep the server busy without ever waiting for each other (Denning and Buzen,
  The operational analysis of queueing network models, 1978), and what ProtoDUNE calls saturation (arXiv:2009.04509).
- The *saturation point* is the smallest number of clients at which throughput reaches 95 % of its plateau. Since real
  clients do wait for each other, it lies beyond the knee, or far beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.study.records import digits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

PART = 0.95
"""Of the plateau, which a saturated server reaches."""
_DRAWS = 1000


@dataclass(frozen=True)
class Saturation:
    """Where measured throughput saturates.

    Parameters
    ----------
    plateau : float
        1/s: the mean over the points with at least 95 % of the largest throughput. Where throughput still grows at the
        last point, that point alone, and no plateau: see `reached`.
    clients : float or None
        The saturation point; None if throughput still grows at the last point, or is saturated at the first, if that is
        of several clients. Between two points the time from one request of a client to its next, clients over
        throughput, goes along a straight line: it is constant far below the knee and straight far beyond. About the
        knee it is convex, so that the saturation point comes out late: by less than the distance to the point below.
    low, high : float or None
        Interval that covers it with 95 %, as far as the errors of the points go.
    knee : float or None
        By the first point, which is taken for lightly loaded; None where it is saturated.
    at_most : float or None
        Where already the first point, of several clients, is saturated: its clients. As many or fewer saturate.
    """

    plateau: float
    clients: float | None
    low: float | None
    high: float | None
    knee: float | None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether any point is saturated."""
        return self.clients is not None or self.at_most is not None

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"{digits(self.at_most)} or fewer"
        if self.clients is None:
            return "not reached"
        if self.low is None or self.high is None:
            return digits(self.clients)
        told = [[digits(each, most) for each in (self.clients, self.low, self.high)] for most in range(3, 7)]
        # As few digits as tell the three apart, where any do.
        value, low, high = next((each for each in told if len(set(each)) == len(each)), told[0])
        return f"{value} ({low} to {high})"


def measured(clients: FloatArray, throughput: FloatArray, error: FloatArray | None = None) -> Saturation:
    """Return where throughput saturates.

    Parameters
    ----------
    clients : float array [n]
        Growing.
    throughput : float array [n]
    error : float array [n], optional
        Standard errors, which give the interval, by 1,000 draws of normal numbers from a fixed seed.
    """
    plateau, at = _saturation(clients, throughput)
    if at is not None and at == clients[0] > 1:
        return Saturation(plateau, None, None, None, None, at_most=at)
    knee = plateau * float(clients[0] / throughput[0])
    if at is None or error is None:
        return Saturation(plateau, at, None, None, knee)
    draws = np.random.default_rng(1).normal(throughput, error, (_DRAWS, len(throughput)))
    # A draw that never saturates does so beyond the last point, where nothing was measured.
    found = [(_saturation(clients, np.maximum(draw, 1e-9 * plateau))[1] or float(clients[-1])) for draw in draws]
    low, high = np.quantile(found, [0.025, 0.975])
    return Saturation(plateau, at, min(float(low), at), max(float(high), at), knee)


def _saturation(clients: FloatArray, throughput: FloatArray) -> tuple[float, float | None]:
    top = throughput >= PART * throughput.max()
    plateau = float(throughput[top].mean())
    wanted = PART * plateau
    first = int(np.argmax(throughput >= wanted))
    if first == len(clients) - 1:
        return plateau, None
    if first == 0:
        return plateau, float(clients[0])
    x, cycle = clients[first - 1 : first + 1], (clients / throughput)[first - 1 : first + 1]
    slope = (cycle[1] - cycle[0]) / (x[1] - x[0])
    # Where n / (cycle[0] + slope (n - x[0])) is what is wanted.
    return plateau, float(wanted * (cycle[0] - slope * x[0]) / (1 - wanted * slope))
