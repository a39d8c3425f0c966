"""Inputs and output of FACILE, for training and for inference: place, gain and raw charges of a channel; its energy.

A row is iphi, the gain in MeV/fC, the charges of the eight slices in fC with their pedestal, depth and abs(ieta).
The last two are one-hot: depths 1 to 7 (v2: 0 to 7, as some detectors have a depth 0) and abs(ieta) 1 to 29. The
network for FPGAs has abs(ieta) as a number, and depths 1 to 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, InvalidRequest
from sonic.workloads.hcal.geometry import MAX_DEPTH
from sonic.workloads.hcal.pulse import SLICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hcal.geometry import Channels
    from sonic.workloads.hcal.nnls import Reals
    from sonic.workloads.hcal.pulse import Floats

WIDTHS = {"v2": 47, "v5": 46, "fpga": 18}
"""Numbers in a row, by the network's version."""


def inputs(charge_fc: Floats, where: Channels, gain_gev: Floats, version: str = "v5") -> NDArray[np.float32]:
    """Return the network's inputs.

    Parameters
    ----------
    charge_fc : float array [channels, 8]
        Raw, with the pedestal.
    where : Channels
    gain_gev : float array [channels]
        Of 1 fC.
    version : {"v2", "v5", "fpga"}

    Returns
    -------
    float32 array [channels, 47, 46 or 18]
        A charge that is not a number is 0, and so is one that is infinite.

    Raises
    ------
    ConfigError
        If there is no such version.
    InvalidRequest
        If the arrays have other shapes.
    """
    if version not in WIDTHS:
        raise ConfigError(f"no version {version!r} of FACILE's inputs: {', '.join(WIDTHS)}")
    number = len(where)
    if charge_fc.shape != (number, SLICES) or gain_gev.shape != (number,):
        given = f"{list(charge_fc.shape)} and {list(gain_gev.shape)}"
        raise InvalidRequest(f"expected charges [{number}, {SLICES}] and gains [{number}], given {given}")
    rows = np.zeros((number, WIDTHS[version]), np.float32)
    rows[:, 0] = where.iphi
    rows[:, 1] = 1e3 * gain_gev
    rows[:, 2 : 2 + SLICES] = np.where(np.isfinite(charge_fc), charge_fc, 0.0)
    at, own = 2 + SLICES, np.arange(number)
    ieta = np.abs(where.ieta)
    if version == "fpga":
        rows[:, at] = ieta
        rows[own, at + where.depth] = 1
        return rows
    lowest = 0 if version == "v2" else 1
    rows[own, at + where.depth - lowest] = 1
    rows[own, at + MAX_DEPTH + 1 - lowest + ieta - 1] = 1
    return rows


def energies(output: Reals) -> Floats:
    """Return the energies that the network's output means: none is below 0.

    Parameters
    ----------
    output : float array [channels, 1]

    Returns
    -------
    float array [channels]
        GeV.

    Raises
    ------
    InvalidRequest
        If the array has another shape.
    """
    if output.ndim != 2 or output.shape[1] != 1:
        raise InvalidRequest(f"expected an output of shape [channels, 1], given {list(output.shape)}")
    found: Floats = np.maximum(output[:, 0], 0.0).astype(np.float64)
    return found
