"""Pile-up per particle identification (PUPPI): how likely a candidate comes from the hard collision.

Bertolini, Harris, Low and Tran (arXiv:1407.6013), with CMS's regions and cuts: charged candidates count fully or not
at all, by their vertex; neutral ones by the charged ones around them, or by all candidates outside the tracker.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.angles import wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.simulation.detector import Candidates

_CONE = 0.4
_MIN_DISTANCE = 0.01
_TRACKER_ETA = 2.5
_REFERENCES = 150


@dataclass(frozen=True, slots=True)
class _Region:
    """Where a neutral candidate needs pT times weight above `cut_gev` + `slope_gev` x (number of vertices)."""

    min_eta: float
    max_eta: float
    cut_gev: float
    slope_gev: float


_REGIONS = (
    _Region(0.0, _TRACKER_ETA, 0.2, 0.015),
    _Region(_TRACKER_ETA, 3.0, 2.0, 0.13),
    _Region(3.0, 10.0, 0.9, 0.18),
)


def puppi_weights(candidates: Candidates, vertices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each candidate's weight in [0, 1].

    Parameters
    ----------
    candidates : Candidates
        Of several events, ordered by event.
    vertices : int64 [events]
        Number of vertices in each event: in simulated ones that of the collisions added.

    Returns
    -------
    float64 [n]
    """
    weights = np.zeros(len(candidates))
    bounds = np.searchsorted(candidates.event, np.arange(len(vertices) + 1))
    for event, (low, high) in enumerate(itertools.pairwise(bounds)):
        weights[low:high] = _event_weights(candidates[low:high], int(vertices[event]))
    return weights


def _event_weights(c: Candidates, vertices: int) -> NDArray[np.float64]:
    charged = c.charge != 0
    weights = np.where(charged & c.primary, 1.0, 0.0)
    eta = np.abs(c.eta)
    leading = np.flatnonzero(charged & c.primary & (eta < _TRACKER_ETA))
    pile_up = np.flatnonzero(charged & ~c.primary & (eta < _TRACKER_ETA))
    outside = np.flatnonzero(eta > _TRACKER_ETA - _CONE)
    for region in _REGIONS:
        cut = region.cut_gev + region.slope_gev * vertices
        inside = ~charged & (eta >= region.min_eta) & (eta < region.max_eta)
        chosen = np.flatnonzero(inside & (c.pt > cut))
        central = region.max_eta <= _TRACKER_ETA
        reference = pile_up if central else np.flatnonzero(inside)
        reference = reference[:: max(1, len(reference) // _REFERENCES)]
        around = leading if central else outside
        if not len(chosen) or not len(reference):
            continue
        usual = _alpha(c, reference, around)
        usual = usual[np.isfinite(usual)]
        alpha = _alpha(c, chosen, around)
        if len(usual) < 2:
            # Nothing from pile-up has a neighbour here: whatever has one is not pile-up.
            weights[chosen] = np.isfinite(alpha)
            continue
        median = np.median(usual)
        below = usual[usual <= median]
        variance = max(float(np.mean((below - median) ** 2)), 1e-6)
        excess = np.where(np.isfinite(alpha), alpha - median, -1.0)
        weight = _chi2_cdf(np.maximum(excess, 0.0) ** 2 / variance)
        weights[chosen] = np.where(weight * c.pt[chosen] > cut, weight, 0.0)
    return weights


def _alpha(c: Candidates, of: NDArray[np.int64], around: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithm of the sum over neighbours of (pT / distance)^2; -inf without neighbours."""
    d_eta = c.eta[of, None] - c.eta[around]
    d_phi = wrap(c.phi[of, None] - c.phi[around])
    distance2 = d_eta**2 + d_phi**2
    near = (distance2 < _CONE**2) & (of[:, None] != around)
    terms = np.where(near, c.pt[around] ** 2 / np.maximum(distance2, _MIN_DISTANCE**2), 0.0)
    with np.errstate(divide="ignore"):
        alpha: NDArray[np.float64] = np.log(terms.sum(axis=1))
    return alpha


def _chi2_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative distribution of chi squared with one degree of freedom (Abramowitz and Stegun 7.1.26)."""
    z = np.sqrt(x / 2.0)
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    poly = sum(a * t ** (i + 1) for i, a in enumerate(series))
    cumulative: NDArray[np.float64] = 1.0 - poly * np.exp(-z * z)
    return cumulative
