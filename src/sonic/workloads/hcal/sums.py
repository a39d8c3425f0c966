"""The energy without a fit: two slices added up, as before there was pile-up to tell apart ("Method 0")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.errors import InvalidRequest
from sonic.workloads.hcal.pulse import IN_TIME, PULSE, SLICES

if TYPE_CHECKING:
    from sonic.workloads.hcal.pulse import Floats
    from sonic.workloads.hcal.simulation import Conditions

_ADDED = slice(IN_TIME, IN_TIME + 2)


def energy(charge_fc: Floats, known: Conditions) -> Floats:
    """Return the charge of the slice of interest and the next as an energy, corrected for what comes later.

    Parameters
    ----------
    charge_fc : float array [channels, 8]
        Raw, with the pedestal.
    known : Conditions
        Of these channels.

    Returns
    -------
    float array [channels]
        In GeV; negative where there is less than the pedestal.

    Raises
    ------
    InvalidRequest
        If the array has not that shape.
    """
    if charge_fc.shape != (len(known), SLICES):
        raise InvalidRequest(f"expected charges of shape [{len(known)}, {SLICES}], given {list(charge_fc.shape)}")
    signal = charge_fc[:, _ADDED] - known.pedestal_fc[:, None]
    energies: Floats = signal.sum(axis=1) * known.gain_gev / PULSE.fractions(0)[_ADDED].sum()
    return energies
