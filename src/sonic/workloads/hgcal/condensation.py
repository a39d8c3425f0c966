"""Showers from what the network says of hits: each condenses around a point that stands for it.

J. Kieseler, "Object condensation" (arXiv:2002.03605), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hgcal.detector import Ints

MIN_BETA = 0.7
RADIUS = 0.7
NOISE_BETA = 0.0005


def clusters(
    beta: NDArray[np.float32],
    coordinates: NDArray[np.float32],
    *,
    min_beta: float = MIN_BETA,
    radius: float = RADIUS,
    noise_beta: float = NOISE_BETA,
) -> Ints:
    """Group the hits of one event.

    The hit with the greatest beta is a point of condensation, then the greatest that is not within `radius` of an
    earlier one, and so on down to `min_beta`. A hit belongs to the point that it is nearest to, within `radius`, unless
    its beta is nearly nothing, which the network learns for noise.

    Parameters
    ----------
    beta : float array [hits]
        One that is not a number is no point.
    coordinates : float array [hits, 3]
        In the space that the network learned.
    min_beta : float
        Of a point.
    radius : float
    noise_beta : float
        Below which a hit is in no cluster.

    Returns
    -------
    int array [hits]
        Number of the cluster, the greatest beta first; -1: in none.

    Raises
    ------
    InvalidRequest
        If there are not as many of the one as of the other.
    """
    if len(beta) != len(coordinates):
        raise InvalidRequest(f"hits have beta and coordinates each, given {len(beta)} and {len(coordinates)}")
    label, nearest = np.full(len(beta), -1), np.full(len(beta), np.float32(radius**2))
    # A point that is nowhere would take no hit, not even itself.
    candidates = np.flatnonzero((beta > min_beta) & np.isfinite(coordinates).all(axis=1))
    candidates = candidates[np.argsort(-beta[candidates], kind="stable")]
    number = 0
    while len(candidates):
        square = ((coordinates - coordinates[candidates[0]]) ** 2).sum(axis=1)
        closer = square < nearest
        label[closer], nearest[closer] = number, square[closer]
        candidates = candidates[square[candidates] >= radius**2]  # which leaves out the point itself
        number += 1
    label[beta < noise_beta] = -1
    return label
