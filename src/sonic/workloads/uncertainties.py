"""Statistical errors of figures of merit, 68 % both sides together.

Entries count as independent, but for :func:`jackknife`, which asks nothing of those of one event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from sonic.framework import Measured
from sonic.workloads.figures import auc_of_histograms, quantiles_of_histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import ArrayLike, NDArray

Sums = TypeVar("Sums")

_LEAST = 6
"""Entries from which on quantiles of 16 % and 84 %, and one error further out, lie within a sample."""


class Central(NamedTuple):
    """The middle of a distribution and how wide it is, in the unit of its values.

    Attributes
    ----------
    median : Measured
    width : Measured
        Half the central 68 %.
    relative : Measured
        The same by the median; NaN where that is 0.
    """

    median: Measured
    width: Measured
    relative: Measured


def central(values: ArrayLike) -> Central:
    """Median and half the central 68 % of values of whatever distribution.

    The covariance of two quantiles p < q is p (1 - q) / (n f(p) f(q)) (Kendall and Stuart, "The Advanced Theory of
    Statistics", chapter 10). One over the density f is how far the quantile moves while p goes one binomial standard
    deviation to both sides.

    Parameters
    ----------
    values : array
        All finite.

    Returns
    -------
    Central
        NaN of none. Of fewer than six the errors are NaN.
    """
    found = np.asarray(values, float).ravel()
    if not len(found):
        return _central(lambda p: np.full(len(p), np.nan), 0)
    return _central(lambda p: np.quantile(found, p), len(found))


def central_of_histogram(counts: ArrayLike, edges: ArrayLike) -> Central:
    """Return what :func:`central` does, from a histogram.

    Parameters
    ----------
    counts : array [n + 2]
        Underflow and overflow included, as of :func:`sonic.workloads.figures.quantiles_of_histogram`.
    edges : array [n + 1]
        Much closer than the distribution is wide.
    """
    return _central(lambda p: quantiles_of_histogram(counts, edges, p), float(np.sum(counts)))


def _central(quantiles: Callable[[NDArray[np.float64]], NDArray[np.float64]], number: float) -> Central:
    p = np.array([0.16, 0.50, 0.84])
    low, middle, high = quantiles(p)
    covariance = np.full((3, 3), np.nan)
    if number >= _LEAST:
        step = np.sqrt(p * (1 - p) / number)
        slope = (quantiles(p + step) - quantiles(p - step)) / (2 * step)
        covariance = (np.minimum.outer(p, p) - np.outer(p, p)) * np.outer(slope, slope) / number
    width = (high - low) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = width / middle
        by_quantiles = (  # how each figure changes with the three quantiles
            (middle, np.array([0.0, 1.0, 0.0])),
            (width, np.array([-0.5, 0.0, 0.5])),
            (relative, np.array([-0.5, -relative, 0.5]) / middle),
        )
        return Central(*(Measured(value, np.sqrt(change @ covariance @ change)) for value, change in by_quantiles))


def count_errors(counts: ArrayLike) -> NDArray[np.float64]:
    """Statistical errors of Poisson distributed counts, down and up; float array [2, counts].

    N. Gehrels, Astrophys. J. 303 (1986) 336, equations 7 and 10; that of none is not zero.
    """
    n = np.asarray(counts, float)
    down = np.where(n > 0, np.sqrt(np.maximum(n - 0.25, 0.0)), 0.0)
    errors: NDArray[np.float64] = np.stack([down, 1 + np.sqrt(n + 0.75)])
    return errors


def efficiency_errors(passed: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Statistical errors of passed / total, down and up, 68.3 % together.

    Those of Wilson's interval (J. Am. Stat. Assoc. 22 (1927) 209), which are not zero where all or none passed, as the
    binomial ones are.

    Parameters
    ----------
    passed, total : array [bins]

    Returns
    -------
    float array [2, bins]
        None negative; NaN where there are none.
    """
    k, n = np.asarray(passed, float), np.asarray(total, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, half = (k + 0.5) / (n + 1), np.sqrt(k * (n - k) / n + 0.25) / (n + 1)
        errors: NDArray[np.float64] = np.maximum([k / n - (middle - half), middle + half - k / n], 0.0)
    return errors


def share(passed: float, total: float) -> Measured:
    """Return passed / total, an efficiency, with :func:`efficiency_errors`; NaN of none."""
    down, up = efficiency_errors(passed, total)
    return Measured(passed / total if total else np.nan, down, up)


def area(signal: ArrayLike, background: ArrayLike) -> Measured:
    """Area under the ROC curve from counts in the same bins of a rising score; NaN if either is empty.

    The error is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988) 837): from how much the share of
    background below a signal varies from signal to signal, and likewise of background. An area of 1 or 0, where nothing
    varies, has that of an efficiency of the rarer kind.

    Parameters
    ----------
    signal, background : array [bins]
    """
    s, b = np.asarray(signal, float), np.asarray(background, float)
    value = auc_of_histograms(s, b)
    rarer = min(s.sum(), b.sum())
    if rarer < 2 or value in (0.0, 1.0):
        return Measured(value, *efficiency_errors(value * rarer, rarer))
    variance = 0.0
    for own, other in ((s, b), (b, s)):
        below = (np.cumsum(other) - 0.5 * other) / other.sum()
        mean = (own * below).sum() / own.sum()
        variance += float((own * (below - mean) ** 2).sum() / (own.sum() * (own.sum() - 1)))
    return Measured(value, np.sqrt(variance))


def deviation(moments: ArrayLike) -> Measured:
    """Return the standard deviation, from the sums of the powers 0 to 4 of values; NaN of none.

    Its variance is (m4 - s^4) / (4 n s^2), with m4 the fourth moment about the mean (Kendall and Stuart, chapter 10).
    """
    sums = np.asarray(moments, float)
    number = sums[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two, three, four = sums[1:] / number
        variance = two - one**2
        fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
        error = np.sqrt((fourth - variance**2) / (4 * number * variance))
    return Measured(np.sqrt(variance), error)


def jackknife(
    parts: Collection[Sums], figures: Callable[[Collection[Sums]], Mapping[str, float]]
) -> dict[str, Measured]:
    """Return figures with errors from how they change when one part of the events is left out.

    A part has whole events, so that what the entries of an event have in common counts (the delete-a-group jackknife:
    P. S. Kott, J. Off. Stat. 17 (2001) 521). Of 20 parts the errors are known to 16 %.

    Parameters
    ----------
    parts : collection
        Sums over events that were dealt out at random.
    figures : callable
        Of some of these, by name.

    Returns
    -------
    dict of str to Measured
        An error is NaN if there are fewer than two parts, or without one of them the figure is not there.
    """
    every = list(parts)
    rest = [figures(every[:i] + every[i + 1 :]) for i in range(len(every))] if len(every) > 1 else []
    found = {}
    for name, value in figures(every).items():
        others = np.array([each.get(name, np.nan) for each in rest])
        variance: Any = (len(rest) - 1) * others.var() if rest else np.nan
        found[name] = Measured(value, np.sqrt(variance))
    return found
