"""Rows of simulated channels as FACILE takes them, soft ones and hard: what ranges and bits are chosen by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.hcal.features import inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.simulation import Beam, conditions, event

if TYPE_CHECKING:
    from numpy.typing import NDArray

JETS = Beam(pileup=50.0, jets=20.0, pt_power=1.5)
"""Many jets, as many of any size nearly: large energies are rare otherwise."""
_HARD_GEV = 4.0
_EVERY = 20


def rows(events: int = 10, seed: int = 3, version: str = "fpga") -> NDArray[np.float32]:
    """Simulate rows; the same seed gives the same ones.

    Parameters
    ----------
    events : int
        Of 15,840 channels. All with more than 4 GeV are taken, and one in twenty of the others.
    seed : int
        Of the events; calibrations are those of seed 1.
    version : {"v2", "v5", "fpga"}
        Of the network's inputs.

    Returns
    -------
    float32 array [channels, 47, 46 or 18]
        As of :func:`sonic.workloads.hcal.features.inputs`.
    """
    known, made = conditions(seed=1), []
    for number in range(events):
        one = event(JETS, known, np.random.default_rng((seed, 4, number)))
        some = np.flatnonzero((one.energy_gev > _HARD_GEV) | (np.arange(len(one)) % _EVERY == number % _EVERY))
        made.append(inputs(one.charge_fc[some], channels()[some], known.gain_gev[some], version))
    return np.concatenate(made)
