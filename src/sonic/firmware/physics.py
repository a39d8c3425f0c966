"""What fixed point does to the energies that FACILE finds in the hadron calorimeter."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sonic.firmware.reference import evaluate
from sonic.workloads.hcal.effects import simulate
from sonic.workloads.hcal.features import energies, inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.sample import JETS
from sonic.workloads.hcal.simulation import conditions
from sonic.workloads.resolution import ENERGIES_GEV, resolution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision
    from sonic.workloads.hcal.pulse import Floats
    from sonic.workloads.hcal.simulation import Beam, Conditions
    from sonic.workloads.resolution import Resolution

EDGES_GEV = (*ENERGIES_GEV, 128.0, 256.0)
"""Of bins in the true energy; in those above 256 GeV there are few channels."""


def resolutions(
    network: Network,
    precisions: Mapping[str, Precision | None],
    *,
    events: int = 20,
    beam: Beam = JETS,
    seed: int = 6,
    edges_gev: tuple[float, ...] = EDGES_GEV,
) -> dict[str, Resolution]:
    """Find bias and resolution of one network with different numbers, on the same simulated channels.

    The reference computes, whose bits are those of all emulators.

    Parameters
    ----------
    network : Network
        A FACILE with 18 inputs.
    precisions : mapping of str to Precision or None
        By name; None: float64.
    events : int
        Of 15,840 channels.
    beam : Beam
    seed : int
    edges_gev : tuple of float

    Returns
    -------
    dict of str to Resolution
    """
    ways = {name: partial(_found, network, precision) for name, precision in precisions.items()}
    true, found = simulate(events, beam, ways, known=conditions(seed=1), seed=seed)
    return {name: resolution(true.ravel(), each.ravel(), edges_gev) for name, each in found.items()}


def _found(network: Network, precision: Precision | None, charge_fc: Floats, known: Conditions) -> Floats:
    rows = inputs(charge_fc, channels(), known.gain_gev, "fpga")
    return energies(evaluate(network, precision, network.prepare(rows)))
