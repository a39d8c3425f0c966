"""Figures of merit: separation of classes, resolution of missing momentum. Pure numpy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_WIDTH_ERROR = 0.966
"""Of half the central 68 % of n normally distributed values, by itself over sqrt(n)."""


class Resolution(NamedTuple):
    """How well missing transverse momentum is measured.

    Attributes
    ----------
    width_gev : float
        Half the central 68 % of the residual of a component.
    rms_gev : float
        Root mean square of that residual.
    bias_gev : float
        Mean residual along the true direction, over events with true missing momentum above 20 GeV; NaN without.
    response : float
        Mean component along the true direction over the true one, same events; NaN without.
    """

    width_gev: float
    rms_gev: float
    bias_gev: float
    response: float


def roc(signal: ArrayLike, background: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return efficiency and misidentification as the cut on a score falls, from (0, 0) to (1, 1)."""
    signal, background = np.asarray(signal, float), np.asarray(background, float)
    values, inverse = np.unique(np.concatenate([signal, background]), return_inverse=True)
    steps = []
    for part, size in ((inverse[: len(signal)], len(signal)), (inverse[len(signal) :], len(background))):
        counts = np.bincount(part, minlength=len(values))[::-1]
        steps.append(np.concatenate([[0.0], np.cumsum(counts) / max(size, 1)]))
    return steps[0], steps[1]


def auc(signal: ArrayLike, background: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a signal scores above a background, ties counting half.

    NaN if either is empty.
    """
    signal, background = np.asarray(signal), np.asarray(background)
    if signal.size == 0 or background.size == 0:
        return float("nan")
    efficiency, mistag = roc(signal, background)
    return float((np.diff(mistag) * (efficiency[1:] + efficiency[:-1])).sum() / 2)


def auc_of_histograms(signal: ArrayLike, background: ArrayLike) -> float:
    """Area under the ROC curve from counts in the same bins of a rising score; NaN if either is empty."""
    s, b = np.asarray(signal, float), np.asarray(background, float)
    if s.sum() == 0 or b.sum() == 0:
        return float("nan")
    below = np.cumsum(b) - b
    return float(((below + 0.5 * b) * s).sum() / (s.sum() * b.sum()))


def quantiles_of_histogram(counts: ArrayLike, edges: ArrayLike) -> tuple[float, float, float]:
    """Quantiles 16, 50 and 84 % of a histogram's entries, interpolated within bins; NaN if it is empty.

    Parameters
    ----------
    counts : array [n + 2]
        Underflow and overflow included; what lies there counts as at the first and last edge.
    edges : array [n + 1]
    """
    counts, edges = np.asarray(counts, float), np.asarray(edges, float)
    if counts.sum() == 0:
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.interp([0.16, 0.50, 0.84], np.cumsum(counts[:-1]) / counts.sum(), edges)
    return float(low), float(middle), float(high)


def width_of_histogram(counts: ArrayLike, edges: ArrayLike) -> float:
    """Half the central 68 % of a histogram's entries; see :func:`quantiles_of_histogram`."""
    low, _, high = quantiles_of_histogram(counts, edges)
    return (high - low) / 2


def median_error(width: ArrayLike, number: ArrayLike) -> NDArray[np.float64]:
    """Statistical error of the median of normally distributed values, half of whose central 68 % is `width`."""
    error: NDArray[np.float64] = np.asarray(width) * np.sqrt(np.pi / 2 / np.maximum(number, 1))
    return error


def width_error(width: ArrayLike, number: ArrayLike) -> NDArray[np.float64]:
    """Statistical error of half the central 68 % of normally distributed values, which is `width`.

    From the variances p (1 - p) / (n f^2) of both quantiles, with f the density there, and their covariance
    (Kendall and Stuart, "The Advanced Theory of Statistics", chapter 10). A standard deviation's is 1 / sqrt(2), and
    would be too small.
    """
    error: NDArray[np.float64] = np.asarray(width) * _WIDTH_ERROR / np.sqrt(np.maximum(number, 1))
    return error


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


def met_resolution(estimate: ArrayLike, true: ArrayLike) -> Resolution:
    """Compare missing transverse momentum with the truth.

    Parameters
    ----------
    estimate, true : array [events, 2]
        Components, GeV.
    """
    estimate, true = np.asarray(estimate, float), np.asarray(true, float)
    residual = estimate - true
    low, high = np.percentile(residual, [16, 84])
    size = np.hypot(*true.T)
    along = (estimate * true).sum(axis=1) / np.maximum(size, 1e-9)
    real = size > 20.0
    return Resolution(
        width_gev=float(high - low) / 2,
        rms_gev=float(np.sqrt(np.mean(residual**2))),
        bias_gev=float(np.mean(along[real] - size[real])) if real.any() else float("nan"),
        response=float(along[real].sum() / size[real].sum()) if real.any() else float("nan"),
    )


def resolution_in_bins(
    estimate: ArrayLike, true: ArrayLike, edges_gev: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return width (GeV) and response of :func:`met_resolution` in bins of the true missing momentum; NaN if empty."""
    estimate, true, edges = np.asarray(estimate, float), np.asarray(true, float), np.asarray(edges_gev, float)
    size = np.hypot(*true.T)
    widths, responses = [], []
    for low, high in itertools.pairwise(edges):
        inside = (size >= low) & (size < high)
        found = met_resolution(estimate[inside], true[inside]) if inside.any() else None
        widths.append(found.width_gev if found else np.nan)
        responses.append(found.response if found else np.nan)
    return np.array(widths), np.array(responses)
