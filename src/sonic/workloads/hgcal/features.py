"""Inputs of GravNet: what it is told of a hit, the same in training and in inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.hgcal.detector import ENDCAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hgcal.detector import Endcap
    from sonic.workloads.hgcal.hits import Hits

NAMES = ("logarithm of the energy", "x", "y", "depth", "distance from the beam")

_ACROSS_CM = 10.0
_DEPTH_CM = 50.0
_DISTANCE_CM = 100.0


def inputs(hits: Hits, endcap: Endcap = ENDCAP) -> NDArray[np.float32]:
    """Describe the hits of one event to the network.

    Parameters
    ----------
    hits : Hits
        Usable ones.
    endcap : Endcap

    Returns
    -------
    float32 array [hits, 5]
        As in :data:`NAMES`. x and y are where a line from the origin through the hit enters the front face, so that a
        shower stands upright, and are measured from the event's mean, so that it does not matter where it is.
    """
    if not len(hits.layer):
        return np.empty((0, len(NAMES)), np.float32)
    u, v = hits.projected(endcap)
    depth = np.asarray(endcap.z_cm)[hits.layer] - endcap.front_cm
    columns = (
        np.log1p(hits.energy_mip),
        (u - u.mean()) / _ACROSS_CM,
        (v - v.mean()) / _ACROSS_CM,
        depth / _DEPTH_CM,
        np.hypot(u, v) / _DISTANCE_CM,
    )
    return np.stack(columns, axis=1).astype(np.float32)
