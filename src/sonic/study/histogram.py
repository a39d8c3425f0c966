"""How long requests took: a histogram with bins of equal width in the logarithm, and quantiles of what is stored. Pure.

All histograms have the same bins, 128 a decade from a microsecond to a thousand seconds, as HdrHistogram's are fixed
by its precision: so they add up, over processes and repeats, and a quantile is right to 2 %, the width of a bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from sonic.study.records import Latencies

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_S, MOST_S = 1e-6, 1e3
BINS_PER_DECADE = 128
_BINS = 9 * BINS_PER_DECADE
_EDGES_S = np.geomspace(LEAST_S, MOST_S, _BINS + 1)


class Histogram:
    """Counts latencies. What lies beyond the bins is counted in the first or the last."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._sum_s = 0.0
        self._squares_s2 = 0.0
        self._least_s, self._most_s = np.inf, 0.0

    @classmethod
    def of(cls, latencies: Latencies) -> Self:
        """Return one with what is stored, but for :attr:`error_s`, of which nothing is."""
        made = cls()
        first = int(np.argmin(np.abs(_EDGES_S - latencies.edges_s[0])))
        made._counts[first : first + len(latencies.counts)] = latencies.counts
        made._sum_s = latencies.count * latencies.mean_s
        made._least_s, made._most_s = latencies.least_s, latencies.most_s
        return made

    @property
    def count(self) -> int:
        """Latencies in it."""
        return int(self._counts.sum())

    @property
    def mean_s(self) -> float:
        """Mean; 0 of none."""
        return self._sum_s / max(self.count, 1)

    @property
    def error_s(self) -> float:
        """Standard error of the mean, as if requests knew nothing of each other."""
        count = max(self.count, 1)
        return float(np.sqrt(max(self._squares_s2 / count - self.mean_s**2, 0.0) / count))

    def add(self, latencies_s: Sequence[float]) -> None:
        """Count latencies, in seconds."""
        if not len(latencies_s):
            return
        values = np.asarray(latencies_s, np.float64)
        # A clock may stand still between two looks.
        index = np.log10(np.maximum(values, LEAST_S) / LEAST_S) * BINS_PER_DECADE
        self._counts += np.bincount(np.minimum(index.astype(np.int64), _BINS - 1), minlength=_BINS)
        self._sum_s += float(values.sum())
        self._squares_s2 += float(values @ values)
        self._least_s = min(self._least_s, float(values.min()))
        self._most_s = max(self._most_s, float(values.max()))

    def __iadd__(self, other: Histogram) -> Self:
        self._counts += other._counts
        self._sum_s += other._sum_s
        self._squares_s2 += other._squares_s2
        self._least_s = min(self._least_s, other._least_s)
        self._most_s = max(self._most_s, other._most_s)
        return self

    def latencies(self) -> Latencies | None:
        """Return what is stored, without the empty bins at both ends; None of no latency."""
        filled = np.flatnonzero(self._counts)
        if not len(filled):
            return None
        first, last = int(filled[0]), int(filled[-1])
        return Latencies(
            count=self.count,
            mean_s=self.mean_s,
            least_s=self._least_s,
            most_s=self._most_s,
            edges_s=tuple(_EDGES_S[first : last + 2].tolist()),
            counts=tuple(self._counts[first : last + 1].tolist()),
        )


def merged(parts: Sequence[Latencies]) -> Latencies | None:
    """Return what several histograms store, as one; None of none."""
    whole = Histogram()
    for part in parts:
        whole += Histogram.of(part)
    return whole.latencies()


def quantile(latencies: Latencies, part: float) -> float:
    """Return the latency, in seconds, that a part of the requests does not exceed.

    Parameters
    ----------
    latencies : Latencies
        With one request at least.
    part : float
        0 to 1: 0.5 is the median.
    """
    counts = np.asarray(latencies.counts, np.float64)
    below = np.concatenate(([0.0], np.cumsum(counts)))
    wanted = part * below[-1]
    at = int(np.clip(np.searchsorted(below, wanted) - 1, 0, len(counts) - 1))
    inside = (wanted - below[at]) / counts[at] if counts[at] else 0.0
    low, high = latencies.edges_s[at : at + 2]
    return float(np.clip(low * (high / low) ** inside, latencies.least_s, latencies.most_s))
