"""Channels of the hadron calorimeter's barrel and endcap.

Towers and depths as in the detector's Phase 1 upgrade (CMS-TDR-010): 9,072 channels in the barrel and 6,768 in the
endcaps. Beyond abs(ieta) 20 a tower is twice as wide in phi, and has odd iphi.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_IETA = 29
MAX_DEPTH = 7
_WIDE_FROM = 21
ETA_EDGES = np.array([*(0.087 * np.arange(21)), 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 3.0])
"""abs(eta) of the towers' edges."""


@dataclass(frozen=True)
class Channels:
    """Where channels are.

    Parameters
    ----------
    ieta : int array [channels]
        From -29 to 29, without 0.
    iphi : int array [channels]
        From 1 to 72.
    depth : int array [channels]
        From 1, nearest to the collisions, to 7.
    """

    ieta: Ints
    iphi: Ints
    depth: Ints

    def __len__(self) -> int:
        return len(self.ieta)

    def __getitem__(self, which: slice | NDArray[np.bool_] | Ints) -> Channels:
        """Return some of the channels."""
        return Channels(self.ieta[which], self.iphi[which], self.depth[which])

    @property
    def eta(self) -> Floats:
        """Of the towers' centres; float array [channels]."""
        at = np.abs(self.ieta)
        centres: Floats = np.sign(self.ieta) * 0.5 * (ETA_EDGES[at - 1] + ETA_EDGES[at])
        return centres

    @property
    def phi(self) -> Floats:
        """Of the towers' centres, in rad, from -pi to pi; float array [channels]."""
        degrees = 5.0 * self.iphi - np.where(np.abs(self.ieta) < _WIDE_FROM, 2.5, 0.0)
        phi: Floats = np.deg2rad((degrees + 180.0) % 360.0 - 180.0)
        return phi

    @property
    def area(self) -> Floats:
        """Of the towers in eta times phi; float array [channels]."""
        at = np.abs(self.ieta)
        wide = np.deg2rad(np.where(at < _WIDE_FROM, 5.0, 10.0))
        areas: Floats = (ETA_EDGES[at] - ETA_EDGES[at - 1]) * wide
        return areas


def depths(ieta: int) -> tuple[int, ...]:
    """Return the depths of a tower at abs(ieta).

    Raises
    ------
    ValueError
        If there is no such tower.
    """
    if not 1 <= ieta <= MAX_IETA:
        raise ValueError(f"expected abs(ieta) from 1 to {MAX_IETA}, given {ieta}")
    if ieta <= 16:
        return (1, 2, 3, 4)
    if ieta == 17:
        return (2, 3)
    if ieta == 29:
        return (1, 2, 3)
    return tuple(range(1, 6 if ieta == 18 else 7 if ieta <= 25 else 8))


@lru_cache(maxsize=1)
def channels() -> Channels:
    """Return all 15,840 channels, by ieta, iphi and depth."""
    rows = [
        (side * ieta, iphi, depth)
        for side, towers in ((-1, range(MAX_IETA, 0, -1)), (1, range(1, MAX_IETA + 1)))
        for ieta in towers
        for iphi in range(1, 73, 1 if ieta < _WIDE_FROM else 2)
        for depth in depths(ieta)
    ]
    table = np.array(rows, np.int64).T
    table.flags.writeable = False  # as they are shared
    return Channels(*table)


def tower_of(eta: Floats, phi: Floats) -> tuple[Ints, Ints]:
    """Return the ieta and iphi of the towers at places.

    Parameters
    ----------
    eta, phi : float array [places]
        In rad, with any number of turns.

    Raises
    ------
    ValueError
        If there is no tower at an eta.
    """
    ieta = np.searchsorted(ETA_EDGES, np.abs(eta), side="right")
    if (ieta > MAX_IETA).any():
        raise ValueError(f"expected abs(eta) below {ETA_EDGES[-1]}, given {np.abs(eta).max()}")
    degrees = np.minimum(np.rad2deg(phi) % 360.0, np.nextafter(360.0, 0))
    narrow, wide = np.floor(degrees / 5.0) + 1, 2 * np.floor(degrees / 10.0) + 1
    iphi = np.where(ieta < _WIDE_FROM, narrow, wide).astype(np.int64)
    return np.where(eta < 0, -ieta, ieta), iphi
