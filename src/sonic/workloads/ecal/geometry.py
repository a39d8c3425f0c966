"""The barrel: four layers of cells on one grid of pixels, and how much material lies where along a particle's way.

In the likeness of ATLAS's liquid-argon barrel (JINST 3 (2008) S08003, chapter 5), rounded. The finest cells set the
pixels: a strip is one of them long in eta, a cell of the middle layer one in phi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of cells.

    Parameters
    ----------
    name : str
    eta_pixels, phi_pixels : int
        Size of a cell.
    radius_cm : float
        From the beam to the middle of the layer.
    noise_gev : float
        Standard deviation of a cell without signal.
    """

    name: str
    eta_pixels: int
    phi_pixels: int
    radius_cm: float
    noise_gev: float

    @property
    def pixels(self) -> int:
        """Of a cell."""
        return self.eta_pixels * self.phi_pixels


LAYERS = (
    Layer("presampler", 8, 4, 144.0, 0.010),
    Layer("strips", 1, 4, 154.0, 0.015),
    Layer("middle", 8, 1, 172.0, 0.035),
    Layer("back", 16, 1, 192.0, 0.030),
)
PRESAMPLER, STRIPS, MIDDLE, BACK = range(4)

CELL_ETA = 0.025
"""Length of a cell of the middle layer."""
PIXEL_ETA = CELL_ETA / LAYERS[MIDDLE].eta_pixels
PHI_PIXELS_AROUND = 256
PIXEL_PHI = 2 * np.pi / PHI_PIXELS_AROUND

ETA_PIXELS, PHI_PIXELS = 56, 11
"""Of an image: seven by eleven cells of the middle layer."""

MAX_ETA = 1.35
"""Of electrons whose image lies within the barrel."""

ENERGIES_GEV = (5.0, 10.0, 20.0, 40.0, 80.0, 150.0, 300.0)
"""Edges of the bins that figures are given in."""

MOLIERE_CM = 4.0
CRITICAL_GEV = 0.0095
ATOMIC_NUMBER = 72.0
"""Effective, of lead and argon."""


def boundaries(eta: Floats, upstream: Floats) -> Floats:
    """Depths at which the regions along a particle's way end.

    Before the calorimeter lie 2.4 radiation lengths at eta = 0, more at larger ones. The presampler, which is thin,
    shows what is left in half of one. Strips and middle layer are built to have the same depth everywhere; the back
    layer has what is left of 22.5 radiation lengths at eta = 0, with thinner absorbers from eta = 0.8 on.

    Parameters
    ----------
    eta : float array [n]
    upstream : float array [n]
        Material before the calorimeter, relative to its mean.

    Returns
    -------
    float array [6, n]
        Radiation lengths from the collision to the ends of the upstream material, the presampler, the gap behind it,
        the strips, the middle and the back layer.
    """
    path = np.cosh(eta)
    depth = 22.5 * path * np.where(np.abs(eta) < 0.8, 1.0, 0.83)
    thick = np.stack([1.6 * path * upstream, 0.5 * path, 0.3 * path, *np.broadcast_to([[3.5], [16.5]], (2, len(eta)))])
    ends = np.cumsum(thick, axis=0)
    return np.concatenate([ends, ends[2:3] + np.maximum(depth, 21.0)])
