"""What the way to channels' energies does to jets and to missing energy.

Energies become towers, towers anti-kt jets (R = 0.4) and missing transverse momentum: of the true energies and, by the
same path, of those found. What differs is the energies' doing alone. There is no other calorimeter: jets have their
hadronic part, and the pile-up of the triggered crossing is theirs, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np

from sonic.errors import InvalidRequest
from sonic.workloads.hcal.simulation import Conditions, events
from sonic.workloads.hcal.towers import LEAST_GEV, towers
from sonic.workloads.resolution import resolution
from sonic.workloads.simulation.jets import cluster, directions, match
from sonic.workloads.uncertainties import central

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework import Measured
    from sonic.workloads.hcal.nnls import Reals
    from sonic.workloads.hcal.pulse import Floats
    from sonic.workloads.hcal.simulation import Beam
    from sonic.workloads.hcal.towers import Towers
    from sonic.workloads.resolution import Resolution

PT_GEV = (20.0, 30.0, 50.0, 80.0, 130.0, 300.0)
"""Edges of bins in the true jet's transverse momentum."""
_MIN_FOUND_GEV = 5.0
"""Of jets that true ones may find themselves in, so that those found too low count."""
_MAX_ETA = 2.5
_MAX_APART = 0.2

Algorithm = Callable[["Floats", Conditions], "Reals"]
"""Charges [channels, 8] and what is known of the channels, to energies [channels] in GeV."""


class Effects(NamedTuple):
    """How jets and missing energy come out, beside those of the true energies.

    Attributes
    ----------
    jets : Resolution
        Of jets' transverse momentum, by the true one's.
    efficiency : float array [bins]
        Share of true jets that have a found one above 5 GeV within 0.2 of them; NaN where there are none.
    extra : float
        Jets found above 20 GeV in an event, without a true one above 5 GeV within 0.2.
    missing_gev : Measured
        Of a component of the missing transverse momentum, found less true: half the distance between the quantiles
        16 % and 84 %.
    sum_gev : Measured
        Median of the sum of the towers' transverse energies, found less true.
    events : int
    """

    jets: Resolution
    efficiency: Floats
    extra: float
    missing_gev: Measured
    sum_gev: Measured
    events: int


def simulate(
    number: int, beam: Beam, algorithms: Mapping[str, Algorithm], *, known: Conditions, seed: int
) -> tuple[Floats, dict[str, Floats]]:
    """Simulate events, and find the energies of their channels.

    Parameters
    ----------
    number : int
        Of events, 1 or more.
    beam : Beam
    algorithms : mapping of str to Algorithm
    known : Conditions
    seed : int

    Returns
    -------
    true : float array [events, channels]
    found : dict of float arrays [events, channels]
        By the algorithm's name.
    """
    made = events(number, beam, known=known, seed=seed)
    found = {name: np.stack([np.asarray(way(e.charge_fc, known)) for e in made]) for name, way in algorithms.items()}
    return np.stack([e.energy_gev for e in made]), found


def effects(
    true_gev: Reals,
    found_gev: Reals,
    edges_gev: tuple[float, ...] = PT_GEV,
    least_gev: float = LEAST_GEV,
) -> Effects:
    """Compare jets and missing energy of energies found with those of the true ones.

    Parameters
    ----------
    true_gev, found_gev : float array [events, channels]
        An energy that is not finite counts for nothing.
    edges_gev : tuple of float
        Of bins in the jets' transverse momentum.
    least_gev : float
        What a channel must have to be counted.

    Raises
    ------
    ConfigError
        If fastjet is not installed.
    InvalidRequest
        If the arrays have different shapes, or there are no events.
    """
    if true_gev.shape != found_gev.shape or true_gev.ndim != 2 or not len(true_gev):
        given = f"{list(true_gev.shape)} and {list(found_gev.shape)}"
        raise InvalidRequest(f"expected true and found energies of the same events, given {given}")
    true, found = towers(true_gev, least_gev=least_gev), towers(found_gev, least_gev=least_gev)
    true_jets, found_jets = jets(true), jets(found)
    seen = true_jets[np.abs(true_jets.eta) < _MAX_ETA]
    nearest = match(seen, found_jets, _MAX_APART)
    matched = nearest >= 0
    # An event without jets found has none to take from.
    there = ak.pad_none(found_jets.pt, 1)[ak.where(matched, nearest, 0)]
    pt = np.asarray(ak.flatten(seen.pt))
    pt_found = np.asarray(ak.fill_none(ak.flatten(ak.where(matched, there, np.nan)), np.nan), dtype=np.float64)
    hard = found_jets[(found_jets.pt > edges_gev[0]) & (np.abs(found_jets.eta) < _MAX_ETA)]
    extra = ak.sum(match(hard, true_jets, _MAX_APART) < 0)
    return Effects(
        jets=resolution(pt, pt_found, edges_gev),
        efficiency=_share(pt, np.isfinite(pt_found), edges_gev),
        extra=float(extra) / len(true_gev),
        missing_gev=central(found.missing_gev - true.missing_gev).width,
        sum_gev=central((found.et_gev - true.et_gev).sum(axis=-1)).median,
        events=len(true_gev),
    )


def jets(made: Towers) -> ak.Array:
    """Cluster towers to anti-kt jets with R = 0.4.

    Parameters
    ----------
    made : Towers
        Of events along one axis.

    Returns
    -------
    awkward record array, events * var
        pt in GeV, 5 or more, eta, phi and mass; hardest first.

    Raises
    ------
    ConfigError
        If fastjet is not installed.
    """
    event, momentum = made.momenta()
    return directions(cluster(event, momentum, len(made.energy_gev), _MIN_FOUND_GEV)[0])


def _share(pt_gev: Floats, matched: np.ndarray, edges_gev: tuple[float, ...]) -> Floats:
    all_of = np.histogram(pt_gev, edges_gev)[0]
    with np.errstate(invalid="ignore"):
        share: Floats = np.histogram(pt_gev[matched], edges_gev)[0] / all_of
    return share
