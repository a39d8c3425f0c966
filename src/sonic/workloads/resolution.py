"""How well energies are found: bias and resolution by the true energy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sonic.errors import InvalidRequest
from sonic.workloads.uncertainties import central

Floats = NDArray[np.float64]
Reals = NDArray[np.floating]

ENERGIES_GEV = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Edges that a few dozen events fill."""


class Resolution(NamedTuple):
    """By bins of the true energy or momentum, of channels, electrons or jets; NaN where there are less than `least`.

    Attributes
    ----------
    energy_gev : float array [bins]
        Mean true energy.
    bias : float array [bins]
        Median of found less true, over true.
    width : float array [bins]
        Of the same: half the distance between the quantiles 16 % and 84 %.
    number : int array [bins]
        How many.
    bias_error, width_error : float array [bins]
        Statistical ones, of :func:`sonic.workloads.uncertainties.central`.
    """

    energy_gev: Floats
    bias: Floats
    width: Floats
    number: NDArray[np.int64]
    bias_error: Floats
    width_error: Floats

    def listed(self) -> dict[str, list[float | None]]:
        """Return bias, resolution and their errors as lists of rounded numbers, None for NaN, for a file."""
        columns = {"bias": self.bias, "resolution": self.width}
        columns |= {"bias_error": self.bias_error, "resolution_error": self.width_error}
        return {
            name: [round(float(value), 4) if np.isfinite(value) else None for value in values]
            for name, values in columns.items()
        }


def resolution(
    true_gev: Reals, found_gev: Reals, edges_gev: tuple[float, ...] = ENERGIES_GEV, least: int = 10
) -> Resolution:
    """Compare energies found with true ones.

    Parameters
    ----------
    true_gev, found_gev : float array [channels]
        Where found is not finite a channel counts for nothing.
    edges_gev : tuple of float
        Of the bins in the true energy.
    least : int
        Channels that a bin must have.

    Raises
    ------
    InvalidRequest
        If the arrays have different shapes, or the edges do not rise from above 0.
    """
    if true_gev.shape != found_gev.shape or true_gev.ndim != 1:
        given = f"{list(true_gev.shape)} and {list(found_gev.shape)}"
        raise InvalidRequest(f"expected as many energies found as true ones, given {given}")
    if len(edges_gev) < 2 or edges_gev[0] <= 0 or (np.diff(edges_gev) <= 0).any():
        raise InvalidRequest(f"expected rising edges above 0, given {edges_gev}")
    known = np.isfinite(found_gev)
    true, found = true_gev[known].astype(np.float64), found_gev[known].astype(np.float64)
    bins = np.searchsorted(edges_gev, true, side="right") - 1
    count = len(edges_gev) - 1
    mean, bias, width, bias_error, width_error = (np.full(count, np.nan) for _ in range(5))
    number = np.bincount(bins[(bins >= 0) & (bins < count)], minlength=count).astype(np.int64)
    for i in np.flatnonzero(number >= max(least, 1)):
        inside = bins == i
        middle = central(found[inside] / true[inside] - 1)
        mean[i], bias[i], width[i] = true[inside].mean(), middle.median, middle.width
        bias_error[i], width_error[i] = middle.median.up, middle.width.up
    return Resolution(mean, bias, width, number, bias_error, width_error)
