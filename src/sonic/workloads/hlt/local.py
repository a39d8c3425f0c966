"""Local reconstruction of the hadron calorimeter, in three ways: what a channel's codes say of its energy.

By the pulse fit in the job, by a FACILE that is called by its name, or by the pulse fit as a service. All three give
``Digi_energy``, and the rest of the path does not know which it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.framework import Offload, Producer
from sonic.workloads.hcal.features import WIDTHS, energies, inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.pulse import decode
from sonic.workloads.hlt.sample import calibration, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonic.framework.module import Columns

FIT = "fit"
FIT_SERVICE = "pulse_fit"
FACILE, LARGE = "facile-v5", "facile-v2"
_INPUTS = ("Digi_channel", "Digi_slices")
_OUTPUTS = ("Digi_energy",)
_VERSION = re.compile(rf"(?:^|[-_.])({'|'.join(WIDTHS)})(?=$|[-_.])")


class Digis(NamedTuple):
    """The digis of a chunk's events, one after the other.

    Attributes
    ----------
    counts : int array [events]
        Digis of each event.
    known : bool array [digis]
        Whether there is such a channel.
    channel : int array [known digis]
    charge_fc : float array [known digis, 8]
    """

    counts: NDArray[np.int64]
    known: NDArray[np.bool_]
    channel: NDArray[np.int64]
    charge_fc: NDArray[np.float64]

    def by_event(self, energy: NDArray[np.floating]) -> Columns:
        """Give energies of the known digis back to the events; those of others are 0, and so are NaN ones."""
        found = np.zeros(len(self.known), np.float32)
        found[self.known] = np.where(np.isfinite(energy), energy, 0.0)
        return {"Digi_energy": ak.unflatten(found, self.counts)}


def digis(events: ak.Array) -> Digis:
    """Read the digis of events with ``Digi_channel`` and ``Digi_slices``."""
    channel = np.asarray(ak.flatten(events.Digi_channel)).astype(np.int64)
    known = (channel >= 0) & (channel < len(channels()))
    slices = np.asarray(ak.flatten(events.Digi_slices)).astype(np.uint64)
    return Digis(np.asarray(ak.num(events.Digi_channel)), known, channel[known], decode(unpack(slices[known])))


class FacileEnergies(Offload):
    """Energies of channels by FACILE: all channels of a chunk in one call.

    Parameters
    ----------
    model : str
        Name of the model. It says which inputs the network has: ``facile-v5``, ``facile-v2``, ``facile-fpga`` and all
        other names with v2, v5 or fpga as a word in them.

    Raises
    ------
    ConfigError
        If it does not.
    """

    name = "hcal"
    consumes = _INPUTS
    produces = _OUTPUTS

    def __init__(self, model: str = FACILE) -> None:
        found = _VERSION.search(model)
        if found is None:
            versions = ", ".join(WIDTHS)
            raise ConfigError(
                f"model {model!r} for HCAL: expected {FIT}, {FIT_SERVICE}, or a name with {versions} in it"
            )
        self.model = model
        self.inputs = found.group(1)

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Build the network's inputs, by the function that it was trained with."""
        read = digis(events)
        where = channels()[read.channel]
        return {"input": inputs(read.charge_fc, where, calibration().gain_gev[read.channel], self.inputs)}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give the channels their energies, GeV."""
        read = digis(events)
        return read.by_event(energies(outputs["output"]) if "output" in outputs else np.zeros(len(read.channel)))


class FitEnergies(Producer):
    """Energies of channels by the pulse fit, in the job."""

    name = "hcal"
    consumes = _INPUTS
    produces = _OUTPUTS

    def produce(self, events: ak.Array) -> Columns:
        """Fit all channels, GeV."""
        read = digis(events)
        return read.by_event(MAHI.fit(read.charge_fc, calibration()[read.channel]).energy_gev)


class ServedFitEnergies(Offload):
    """Energies of channels by the pulse fit, as a service."""

    name = "hcal"
    model = FIT_SERVICE
    outputs = ("energy_gev",)
    allow_nonfinite = True
    consumes = _INPUTS
    produces = _OUTPUTS

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Collect charges and calibration."""
        read = digis(events)
        return {"charge_fc": read.charge_fc, **vars(calibration()[read.channel])}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give the channels their energies, GeV."""
        read = digis(events)
        return read.by_event(outputs.get("energy_gev", np.zeros(len(read.channel))))


def reconstruction(hcal: str) -> FacileEnergies | FitEnergies | ServedFitEnergies:
    """Return the module for one of the ways: ``fit``, ``pulse_fit``, or the name of a FACILE.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if hcal == FIT:
        return FitEnergies()
    return ServedFitEnergies() if hcal == FIT_SERVICE else FacileEnergies(hcal)
