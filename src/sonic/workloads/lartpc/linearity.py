"""The ordinary algorithm: around a hit of a track, charge lies on a line; around one of a shower it does not.

Straightness is from the principal components of the charge in a window of 15 x 15 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.lartpc.particles import EM, NONE, TRACK

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sonic.workloads.lartpc.chamber import Floats, Ints

HALF = 7
STRAIGHT = 0.975
"""Least straightness of a track: where about as many hits of tracks as of showers are mistaken."""
LITTLE_KE = 15.0
"""In a window with less than that there is nothing but noise: half of what a track leaves on one wire."""

_U, _V = (place.ravel() for place in np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1].astype(float))
_MOMENTS = np.stack([np.ones(_U.size), _U, _V, _U * _U, _V * _V, _U * _V], axis=1)


class Shape(NamedTuple):
    """What the charge around hits looks like.

    Attributes
    ----------
    straightness : float array [hits]
        1 - (variance across) / (variance along); 1 on a line, 0 where the charge is round.
    charge_ke : float array [hits]
        In the window.
    """

    straightness: Floats
    charge_ke: Floats

    def kind(self) -> Ints:
        """Tell the hits apart; int array [hits] of track, em and none."""
        return np.where(self.charge_ke < LITTLE_KE, NONE, np.where(self.straightness > STRAIGHT, TRACK, EM))


def shape(image: NDArray[np.float32], wire: ArrayLike, sample: ArrayLike) -> Shape:
    """Measure the charge around hits.

    Parameters
    ----------
    image : float32 array [wires, samples]
        In thousands of electrons.
    wire : int array [hits]
    sample : float array [hits]
    """
    side = 2 * HALF + 1
    padded = np.pad(np.maximum(image, 0), HALF)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    around = windows[np.asarray(wire, np.int64), np.floor(np.asarray(sample)).astype(np.int64)].reshape(-1, side**2)
    moments = around.astype(np.float64) @ _MOMENTS
    charge = moments[:, 0]
    mean_u, mean_v, uu, vv, uv = (moments[:, 1:] / np.maximum(charge, 1e-9)[:, None]).T
    uu, vv, uv = uu - mean_u**2, vv - mean_v**2, uv - mean_u * mean_v
    middle, apart = 0.5 * (uu + vv), np.hypot(0.5 * (uu - vv), uv)
    straight = 1 - np.maximum(middle - apart, 0) / np.maximum(middle + apart, 1e-6)
    return Shape(straight, charge)
