"""From channels to towers, jets and missing momentum."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sonic.framework import Filter, Producer
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.towers import towers
from sonic.workloads.simulation.jets import RADIUS, cluster

if TYPE_CHECKING:
    from sonic.framework.module import Columns
    from sonic.workloads.hcal.towers import Towers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_PT_GEV = 20.0
RESPONSE = 0.9
"""Of jets on average, by which they are divided: energy that curls up, or is in channels with too little."""
HT_ETA = 2.5
TAGGABLE_ETA = 1.2
TAGGED_JETS = 4
TAGGED_PT_GEV = 30.0
_SPAN = 100
"""More than the numbers of towers in phi."""
_DENSITY_ETA, _DENSITY_ROWS, _DENSITY_COLUMNS = 3.0, 12, 12


class CaloTowers(Producer):
    """Energies of all towers, both calorimeters together."""

    name = "towers"
    consumes = ("Digi_channel", "Digi_energy", "Cell_ieta", "Cell_iphi", "Cell_energy")
    produces = ("Tower_energy",)

    def produce(self, events: ak.Array) -> Columns:
        """Add up channels and cells, GeV; what is in no channel or tower that there is counts for nothing."""
        event, (channel, energy) = _flat(events, "Digi", "channel", "energy")
        known = (channel >= 0) & (channel < len(channels()))
        dense = np.zeros((len(events), len(channels())))
        np.add.at(dense, (event[known], channel[known].astype(np.int64)), energy[known])
        total = towers(dense).energy_gev

        event, (ieta, iphi, energy) = _flat(events, "Cell", "ieta", "iphi", "energy")
        keys, key = _keys(), (ieta * _SPAN + iphi).astype(np.int64)
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        known = (keys[at] == key) & np.isfinite(energy)
        np.add.at(total, (event[known], at[known]), energy[known])
        return {"Tower_energy": total.astype(np.float32)}


class Jets(Producer):
    """Anti-kt jets of towers, less what pile-up adds, and which of them are tagged; extra ``generate``."""

    name = "jets"
    consumes = ("Tower_energy",)
    produces = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_taggable", "Event_rho", "Event_ht")

    def produce(self, events: ak.Array) -> Columns:
        """Cluster; hardest first, 20 GeV and more.

        Raises
        ------
        ConfigError
            If fastjet is not installed.
        """
        made = towers_of(events)
        found, _ = cluster(*made.momenta(), len(events), 0.5 * MIN_PT_GEV)
        rho = density(made)
        # Flat from here on: a chunk has few jets, and high-level calls would take longer than clustering.
        of = np.repeat(np.arange(len(events)), np.asarray(ak.num(found)))
        momenta = np.stack([np.asarray(ak.flatten(found[part])).astype(np.float64) for part in ("px", "py", "pz", "E")])
        corrected = np.maximum(np.hypot(*momenta[:2]) - rho[of] * np.pi * RADIUS**2, 0.0) / RESPONSE
        kept = np.flatnonzero(corrected >= MIN_PT_GEV)
        kept = kept[np.lexsort((-corrected[kept], of[kept]))]
        event, pt, (px, py, pz, energy) = of[kept], corrected[kept], momenta[:, kept]
        raw = np.hypot(px, py)
        mass = np.sqrt(np.maximum(energy**2 - raw**2 - pz**2, 0.0)) * pt / raw
        eta = np.arcsinh(pz / raw)
        counts = np.bincount(event, minlength=len(events))
        columns = {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": mass}
        jets: dict[str, NDArray[Any]] = {f"Jet_{name}": values.astype(np.float32) for name, values in columns.items()}
        central = (np.abs(eta) < TAGGABLE_ETA) & (pt >= TAGGED_PT_GEV)
        jets["Jet_taggable"] = central & (_running(central, counts) <= TAGGED_JETS)
        ht = np.bincount(event, pt * (np.abs(eta) < HT_ETA), len(events))
        return {name: ak.unflatten(values, counts) for name, values in jets.items()} | {
            "Event_rho": rho.astype(np.float32),
            "Event_ht": ht.astype(np.float32),
        }


class MissingMomentum(Producer):
    """Minus the sum of the towers' transverse momenta."""

    name = "met"
    consumes = ("Tower_energy",)
    produces = ("CaloMET_pt", "CaloMET_phi")

    def produce(self, events: ak.Array) -> Columns:
        """Add up; GeV."""
        x, y = towers_of(events).missing_gev.T
        return {"CaloMET_pt": np.hypot(x, y).astype(np.float32), "CaloMET_phi": np.arctan2(y, x).astype(np.float32)}


class JetFilter(Filter):
    """Events with a jet that is worth the tracks.

    Parameters
    ----------
    min_pt_gev : float
    """

    name = "jet_filter"
    consumes = ("Jet_pt",)

    def __init__(self, min_pt_gev: float = 40.0) -> None:
        self.min_pt_gev = min_pt_gev

    def select(self, events: ak.Array) -> ak.Array:
        """Look at the jets' momenta."""
        return ak.any(events.Jet_pt >= self.min_pt_gev, axis=1)


def towers_of(events: ak.Array | ak.Record) -> Towers:
    """Return the towers of events, or of one, with ``Tower_energy``."""
    energy: Floats = np.asarray(events.Tower_energy, np.float64)
    return replace(_layout(), energy_gev=energy)


def density(made: Towers) -> Floats:
    """Return the median transverse momentum for each unit of eta times phi, GeV, in the cells of a grid.

    Parameters
    ----------
    made : Towers
        Of many events.

    Returns
    -------
    float array [events]
    """
    cell, cells = _cells(), _DENSITY_ROWS * _DENSITY_COLUMNS
    sums = np.array([np.bincount(cell, row, cells) for row in made.et_gev]).reshape(-1, cells)
    area = 2 * _DENSITY_ETA / _DENSITY_ROWS * 2 * np.pi / _DENSITY_COLUMNS
    found: Floats = np.median(sums, axis=1) / area
    return found


@lru_cache(maxsize=1)
def _cells() -> Ints:
    """Return which cell of the grid each tower is in."""
    made = _layout()
    row = np.floor((made.eta + _DENSITY_ETA) / (2 * _DENSITY_ETA) * _DENSITY_ROWS).astype(np.int64)
    column = np.floor((made.phi / (2 * np.pi) + 0.5) * _DENSITY_COLUMNS).astype(np.int64) % _DENSITY_COLUMNS
    return row * _DENSITY_COLUMNS + column


@lru_cache(maxsize=1)
def _layout() -> Towers:
    return towers(np.zeros(len(channels())))


@lru_cache(maxsize=1)
def _keys() -> Ints:
    """Return what tells towers apart, rising."""
    return _layout().ieta * _SPAN + _layout().iphi


def _flat(events: ak.Array, collection: str, *names: str) -> tuple[Ints, list[Floats]]:
    """Return the event of each entry, and branches, one event after the other."""
    columns = [events[f"{collection}_{name}"] for name in names]
    event = np.repeat(np.arange(len(events)), np.asarray(ak.num(columns[0])))
    return event, [np.asarray(ak.flatten(column)).astype(np.float64) for column in columns]


def _running(flags: NDArray[np.bool_], counts: Ints) -> Ints:
    """Count, for each entry of lists of so many, those of its list that are set up to it."""
    flat = np.cumsum(flags)
    before = np.concatenate([[0], flat])[np.cumsum(counts) - counts]
    running: Ints = flat - np.repeat(before, counts)
    return running
