"""The hits of an event by layer, so that those in a window are found without a look at the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest
from sonic.workloads.angles import wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.simulation import Ints

    Bools = NDArray[np.bool_]

_WIDEST = 1.0
"""Half of the widest window in phi."""


class Layer:
    """Hits of one layer, in order of phi.

    Parameters
    ----------
    hit : int array [hits]
        Their numbers in the event.
    phi, z_mm : float array [hits]

    Attributes
    ----------
    hit, phi, z_mm : array
        As given, in order of phi; those near the cut at pi twice.
    """

    def __init__(self, hit: Ints, phi: Floats, z_mm: Floats) -> None:
        phi = wrap(phi)
        low, high = phi < _WIDEST - np.pi, phi > np.pi - _WIDEST
        every = np.concatenate([phi[high] - 2 * np.pi, phi, phi[low] + 2 * np.pi])
        order = np.argsort(every, kind="stable")
        self.phi = every[order]
        self.hit = np.concatenate([hit[high], hit, hit[low]])[order]
        self.z_mm = np.concatenate([z_mm[high], z_mm, z_mm[low]])[order]
        self._own = np.concatenate([np.zeros(high.sum(), bool), np.ones(len(hit), bool), np.zeros(low.sum(), bool)])[
            order
        ]

    @property
    def own(self) -> Ints:
        """Places of the hits, each once."""
        return np.flatnonzero(self._own)

    def near(self, phi: Floats, half_width: Floats | float) -> tuple[Ints, Ints]:
        """Find the hits in windows.

        Parameters
        ----------
        phi, half_width : float array [windows]
            Wider ones than 1 rad are cut.

        Returns
        -------
        window, place : int array [pairs]
            Every hit of every window, window by window; places in the arrays of the layer.
        """
        middle = wrap(phi)
        half = np.minimum(half_width, _WIDEST)
        first = np.searchsorted(self.phi, middle - half)
        counts = np.searchsorted(self.phi, middle + half) - first
        window = np.repeat(np.arange(len(phi)), counts)
        place = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        return window, place


def check(layer: Ints, phi: Floats, z_mm: Floats, barrel: Barrel) -> None:
    """Refuse hits that are not whole.

    Raises
    ------
    InvalidRequest
        If the arrays have not the same length, or a layer is not there.
    """
    if not len(layer) == len(phi) == len(z_mm):
        raise InvalidRequest(f"hits have a layer, phi and z each, given {len(layer)}, {len(phi)} and {len(z_mm)}")
    if len(layer) and not 0 <= np.min(layer) <= np.max(layer) < len(barrel):
        raise InvalidRequest(f"layers are 0 to {len(barrel) - 1}, given {np.min(layer)} to {np.max(layer)}")


def by_layer(layer: Ints, phi: Floats, z_mm: Floats, barrel: Barrel, free: Bools | None = None) -> list[Layer]:
    """Sort the hits of an event.

    Parameters
    ----------
    layer, phi, z_mm : array [hits]
        A hit whose place is not finite is left out.
    barrel : Barrel
    free : bool array [hits], optional
        Those to take.
    """
    usable = np.isfinite(phi) & np.isfinite(z_mm)
    if free is not None:
        usable &= free
    made = []
    for number in range(len(barrel)):
        hit = np.flatnonzero(usable & (layer == number))
        made.append(Layer(hit, phi[hit], z_mm[hit]))
    return made
