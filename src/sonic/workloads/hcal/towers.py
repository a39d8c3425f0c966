"""Towers: what the channels of one ieta and iphi have together, for jets and missing energy.

A tower's energy comes from the detector's centre, so that it is a massless four-vector in the direction of the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import InvalidRequest
from sonic.workloads.hcal.geometry import Channels, channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hcal.geometry import Floats, Ints
    from sonic.workloads.hcal.nnls import Reals

LEAST_GEV = 0.5
"""What a channel must have to be counted: less is noise and pile-up for the most part."""


@dataclass(frozen=True)
class Towers:
    """Energies of towers, of one event or of many.

    Parameters
    ----------
    ieta, iphi : int array [towers]
    eta, phi : float array [towers]
        Of their centres; phi in rad, from -pi to pi.
    energy_gev : float array [..., towers]
        As many axes in front as the channels' energies had.
    """

    ieta: Ints
    iphi: Ints
    eta: Floats
    phi: Floats
    energy_gev: Floats

    def __len__(self) -> int:
        return len(self.eta)

    @property
    def et_gev(self) -> Floats:
        """Transverse energies; float array [..., towers]."""
        transverse: Floats = self.energy_gev / np.cosh(self.eta)
        return transverse

    @property
    def missing_gev(self) -> Floats:
        """Missing transverse momentum, x and y: what balances all towers; float array [..., 2]."""
        directions = np.stack([np.cos(self.phi), np.sin(self.phi)], axis=1)
        missing: Floats = -(self.et_gev @ directions)
        return missing

    def momenta(self) -> tuple[Ints, tuple[Floats, Floats, Floats, Floats]]:
        """Return the four-vectors of the towers that have energy, one after the other.

        Returns
        -------
        event : int array [n]
            Rising; 0 for the towers of one event.
        momentum : tuple of float arrays [n]
            px, py, pz and energy in GeV, as :func:`sonic.workloads.simulation.jets.cluster` takes them.
        """
        energies = self.energy_gev.reshape(-1, len(self))
        event, tower = np.nonzero(energies > 0)
        energy = energies[event, tower]
        et = energy / np.cosh(self.eta[tower])
        phi = self.phi[tower]
        return event, (et * np.cos(phi), et * np.sin(phi), energy * np.tanh(self.eta[tower]), energy)


def towers(energy_gev: Reals, where: Channels | None = None, least_gev: float = LEAST_GEV) -> Towers:
    """Add up the channels of each tower.

    Parameters
    ----------
    energy_gev : float array [..., channels]
        Of one event, or of many along the axes in front.
    where : Channels, optional
        All channels unless given.
    least_gev : float
        A channel with less is left out; 0 leaves out those below 0 alone.

    Returns
    -------
    Towers
        By ieta and iphi. A channel whose energy is not finite counts for nothing.

    Raises
    ------
    InvalidRequest
        If there are not as many energies as channels.
    """
    ieta, iphi, tower = _all_channels() if where is None else _towers_of(where)
    if energy_gev.ndim < 1 or energy_gev.shape[-1] != len(tower):
        raise InvalidRequest(f"expected energies of {len(tower)} channels, given shape {list(energy_gev.shape)}")
    counted = np.isfinite(energy_gev) & (energy_gev >= max(least_gev, 0.0))
    rows = np.where(counted, energy_gev, 0.0).astype(np.float64).reshape(-1, len(tower))
    summed = np.zeros((len(rows), len(ieta)))
    for into, row in zip(summed, rows, strict=True):
        into[:] = np.bincount(tower, row, len(ieta))
    centres = Channels(ieta, iphi, np.ones_like(ieta))
    return Towers(ieta, iphi, centres.eta, centres.phi, summed.reshape(*energy_gev.shape[:-1], len(ieta)))


@lru_cache(maxsize=1)
def _all_channels() -> tuple[Ints, Ints, NDArray[np.intp]]:
    return _towers_of(channels())


def _towers_of(where: Channels) -> tuple[Ints, Ints, NDArray[np.intp]]:
    """Return ieta and iphi of towers, and the number of each channel's tower."""
    pairs, tower = np.unique(np.stack([where.ieta, where.iphi]), axis=1, return_inverse=True)
    return pairs[0], pairs[1], tower.reshape(-1)
