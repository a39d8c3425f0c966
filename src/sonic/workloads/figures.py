"""Figures of merit: separation of classes, resolution of missing momentum. Pure numpy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class MetResolution(NamedTuple):
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


def quantiles_of_histogram(counts: ArrayLike, edges: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """Quantiles of a histogram's entries, interpolated within bins; NaN if it is empty.

    Parameters
    ----------
    counts : array [n + 2]
        Underflow and overflow included; what lies there counts as at the first and last edge.
    edges : array [n + 1]
    probability : array [quantiles]
    """
    counts, edges, wanted = np.asarray(counts, float), np.asarray(edges, float), np.asarray(probability, float)
    if counts.sum() == 0:
        return np.full(wanted.shape, np.nan)
    return np.asarray(np.interp(wanted, np.cumsum(counts[:-1]) / counts.sum(), edges), float)


def met_resolution(estimate: ArrayLike, true: ArrayLike) -> MetResolution:
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
    return MetResolution(
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
