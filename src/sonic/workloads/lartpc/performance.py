"""Hits told apart, against the truth: areas under ROC curves, efficiencies and purities. Sums add up over events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads.figures import auc_of_histograms
from sonic.workloads.lartpc.particles import EM, KINDS, TRACK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Ints

BINS = 1000
"""Of histograms of scores from 0 to 1."""


def sums(
    kind: Ints,
    michel: NDArray[np.bool_],
    scores: NDArray[np.floating],
    michel_score: NDArray[np.floating],
    straightness: NDArray[np.floating],
    ordinary: Ints,
) -> dict[str, NDArray[np.int64]]:
    """Count hits by what they are and what they were taken for.

    Parameters
    ----------
    kind : int array [hits]
        True ones.
    michel : bool array [hits]
        Whether they are of Michel electrons.
    scores : float array [hits, 3]
        The network's, of track, em and none.
    michel_score : float array [hits]
    straightness : float array [hits]
        The ordinary algorithm's.
    ordinary : int array [hits]
        What it takes them for.

    Returns
    -------
    dict of str to int array
        ``network`` and ``ordinary`` [3, 3] by true and found kind; ``track``, ``em``, ``none`` and ``straightness``
        [3, bins], score by true kind; ``michel`` [2, bins] by whether it is one.
    """
    found = {
        "network": np.stack([np.bincount(scores[kind == k].argmax(axis=1), minlength=3) for k in range(3)]),
        "ordinary": np.stack([np.bincount(ordinary[kind == k], minlength=3) for k in range(3)]),
        "michel": np.stack([_histogram(michel_score[michel == yes]) for yes in (False, True)]),
    }
    for name, values in (*zip(KINDS, scores.T, strict=True), ("straightness", straightness)):
        found[name] = np.stack([_histogram(values[kind == k]) for k in range(3)])
    return found


def figures(total: dict[str, NDArray[np.int64]], michel_cut: float) -> dict[str, float]:
    """Return figures of merit by name, from sums; those for which there are no hits are left out.

    Parameters
    ----------
    total : dict
        As of :func:`sums`, added up.
    michel_cut : float
        From which score on a hit is taken for one of a Michel electron.
    """
    rows: dict[str, float] = {}
    for k, name in enumerate(KINDS):
        others = total[name].sum(axis=0) - total[name][k]
        rows[f"AUC {name}"] = auc_of_histograms(total[name][k], others)
    rows["AUC michel"] = auc_of_histograms(total["michel"][1], total["michel"][0])
    for label, name in (("AUC track against em", "track"), ("AUC track against em, straightness", "straightness")):
        rows[label] = auc_of_histograms(total[name][TRACK], total[name][EM])
    for label, name in (("", "network"), (", straightness", "ordinary")):
        for k, kind in enumerate(KINDS):
            table = total[name]
            rows[f"efficiency {kind}{label}"] = _ratio(table[k, k], table[k].sum())
            rows[f"purity {kind}{label}"] = _ratio(table[k, k], table[:, k].sum())
    others, own = total["michel"][:, round(michel_cut * BINS) :].sum(axis=1)
    rows["efficiency michel"] = _ratio(own, total["michel"][1].sum())
    rows["purity michel"] = _ratio(own, own + others)
    return {label: value for label, value in rows.items() if np.isfinite(value)}


def best_michel_cut(total: dict[str, NDArray[np.int64]]) -> float:
    """Return the cut where efficiency and purity of Michel hits have the largest harmonic mean; 0.5 without any."""
    others, own = total["michel"][:, ::-1].cumsum(axis=1)[:, ::-1]
    if not own[0]:
        return 0.5
    return float((2 * own / (own + others + own[0])).argmax()) / BINS


def _histogram(values: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.histogram(np.clip(values, 0, 1), BINS, (0.0, 1.0))[0]


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")
