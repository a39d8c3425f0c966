"""The pulse fit as a service, ``sonic serve sonic.workloads.hcal.service:pulse_fit``; energies by a served FACILE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.server.backends.services import service
from sonic.workloads.hcal.features import energies, inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.pulse import CROSSINGS, SLICES
from sonic.workloads.hcal.simulation import Conditions

if TYPE_CHECKING:
    import numpy as np

    from sonic.client.model import Model
    from sonic.workloads.hcal.geometry import Channels
    from sonic.workloads.hcal.pulse import Floats

SOURCE = f"{__name__}:pulse_fit"
"""What :func:`sonic.serve` and ``local:`` know it by."""


@service(
    inputs={
        "charge_fc": f"FP64[-1,{SLICES}]",
        "pedestal_fc": "FP64[-1]",
        "noise_fc": "FP64[-1]",
        "baseline_fc": "FP64[-1]",
        "gain_gev": "FP64[-1]",
        "photoelectron_fc": "FP64[-1]",
    },
    outputs={
        "energy_gev": "FP64[-1]",
        "amplitudes_fc": f"FP64[-1,{len(CROSSINGS)}]",
        "chi2": "FP64[-1]",
        "flags": "UINT8[-1]",
    },
    max_batch=16_384,
)
def pulse_fit(
    charge_fc: Floats,
    pedestal_fc: Floats,
    noise_fc: Floats,
    baseline_fc: Floats,
    gain_gev: Floats,
    photoelectron_fc: Floats,
) -> dict[str, np.ndarray]:
    """Fit channels; see :meth:`sonic.workloads.hcal.mahi.Mahi.fit`.

    Parameters
    ----------
    charge_fc : float array [channels, 8]
        Raw, with the pedestal.
    pedestal_fc, noise_fc, baseline_fc, gain_gev, photoelectron_fc : float array [channels]
        As in :class:`sonic.workloads.hcal.simulation.Conditions`.
    """
    known = Conditions(pedestal_fc, noise_fc, baseline_fc, gain_gev, photoelectron_fc)
    return dict(MAHI.fit(charge_fc, known)._asdict())


def facile(
    model: Model, charge_fc: Floats, known: Conditions, where: Channels | None = None, version: str = "v5"
) -> Floats:
    """Find the energies of channels by a FACILE, wherever it is served.

    Parameters
    ----------
    model : sonic.Model
    charge_fc : float array [channels, 8]
        Raw, with the pedestal.
    known : Conditions
        Of these channels.
    where : Channels, optional
        All channels unless given.
    version : {"v2", "v5", "fpga"}
        Of the network's inputs.

    Returns
    -------
    float array [channels]
        GeV.
    """
    rows = inputs(charge_fc, channels() if where is None else where, known.gain_gev, version)
    return energies(model(input=rows)["output"])
