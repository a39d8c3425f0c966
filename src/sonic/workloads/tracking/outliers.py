"""Tracks whose fit says that a hit is not theirs, without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import Search, passed, points
from sonic.workloads.tracking.kalman import fit

if TYPE_CHECKING:
    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.kalman import Bools
    from sonic.workloads.tracking.simulation import Ints

ROUNDS = 2
"""Most hits that a track loses."""


def without_outliers(
    hits: Ints, phi: Floats, z_mm: Floats, search: Search | None = None, barrel: Barrel = BARREL
) -> Ints:
    """Take hits away from tracks that their fit does not pass: each time the one without which chi2 is least.

    Parameters
    ----------
    hits : int array [tracks, layers]
        Numbers of hits; -1: none.
    phi, z_mm : float array [hits]
    search : Search, optional
        Least hits that a track keeps, and the chi2 that it is to pass.
    barrel : Barrel

    Returns
    -------
    int array [tracks, layers]
        Those that pass as they were; the others with fewer hits, whether they pass now or not.
    """
    search = search or Search()
    hits = hits.copy()
    at = np.arange(len(hits))
    for _ in range(ROUNDS):
        chi2, good = _fitted(hits[at], phi, z_mm, search, barrel)
        at = at[~good & ((hits[at] >= 0).sum(axis=1) > search.min_hits)]
        if not len(at):
            break
        fewer = np.repeat(hits[at][:, None], len(barrel), axis=1)
        layers = np.arange(len(barrel))
        fewer[:, layers, layers] = -1
        chi2, _ = _fitted(fewer.reshape(-1, len(barrel)), phi, z_mm, search, barrel)
        chi2 = np.where(hits[at] >= 0, np.nan_to_num(chi2.reshape(len(at), -1), nan=np.inf), np.inf)
        hits[at] = fewer[np.arange(len(at)), np.argmin(chi2, axis=1)]
    return hits


def _fitted(hits: Ints, phi: Floats, z_mm: Floats, search: Search, barrel: Barrel) -> tuple[Floats, Bools]:
    fitted = fit(points(hits, phi, z_mm), barrel)
    return fitted.chi2, passed(fitted.good, fitted.chi2, fitted.degrees_of_freedom, search)
