"""What is around a tau candidate, in the cells of two grids: electrons and photons, muons, hadrons.

In each cell the hardest candidate of each kind. The grids are of 11 cells of 0.02 and of 21 cells of 0.05 on a side, in
pseudorapidity and azimuth, with the tau in the middle; a candidate can be in both. A cell without one is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.features.flat import finite
from sonic.workloads.features.tau_candidates import around

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Flat, Floats, Ints
    from sonic.workloads.features.tau_candidates import TauCandidates

TAU_GRIDS = {"inner": (11, 0.02), "outer": (21, 0.05)}
"""Cells on a side, and their size."""

_COMMON = ("rho", "tau_log_pt", "tau_eta", "tau_in_crack")
_PLACE = ("valid", "rel_pt", "deta", "dphi")
_TRACK = (
    *("vertex_dx", "vertex_dy", "vertex_dz", "flight_dx", "flight_dy", "flight_dz", "has_track"),
    *("dxy", "dxy_significance", "dz", "dz_significance", "chi2", "ndof"),
)
_NO_LEPTONS = "puppi_weight_no_leptons"
CELL_NOT_FILLED = frozenset(
    (
        *("from_pv", _NO_LEPTONS, "pixel_hits", "ndof", "hcal_fraction", "raw_calo_fraction"),
        *(name for name in _TRACK if name.startswith(("vertex", "flight"))),
    )
)
"""Features of a candidate in a cell that are always 0: not in the file, or not for every candidate."""

_RECONSTRUCTED = 37
"""Places of features of reconstructed electrons, and of muons, all of them 0: PFNano has them in another form."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Candidates of one kind in a cell: what they are, their PDG code, and their features."""

    name: str
    pdg_id: int
    features: tuple[str, ...]


_ELECTRON = _Kind(
    "electrons",
    11,
    (*_PLACE, "pv_association", "puppi_weight", "charge", "lost_inner_hits", "pixel_hits", *_TRACK),
)
_PHOTON = _Kind(
    "photons",
    22,
    (*_PLACE, "pv_association", "from_pv", "puppi_weight", _NO_LEPTONS, "lost_inner_hits", "pixel_hits", *_TRACK),
)
_MUON = _Kind(
    "muons",
    13,
    (*_PLACE, "pv_association", "from_pv", "puppi_weight", "charge", "lost_inner_hits", "pixel_hits", *_TRACK),
)
_CHARGED = _Kind(
    "charged hadrons",
    211,
    (
        *(*_PLACE, "lead", "pv_association", "from_pv", "puppi_weight", _NO_LEPTONS, "charge", "lost_inner_hits"),
        *("pixel_hits", *_TRACK, "hcal_fraction", "raw_calo_fraction"),
    ),
)
_NEUTRAL = _Kind("neutral hadrons", 130, (*_PLACE, "puppi_weight", _NO_LEPTONS, "hcal_fraction"))

_BLOCKS: dict[str, tuple[tuple[_Kind, ...], int]] = {
    "egamma": ((_ELECTRON, _PHOTON), _RECONSTRUCTED),
    "muon": ((_MUON,), _RECONSTRUCTED),
    "hadrons": ((_CHARGED, _NEUTRAL), 0),
}

CELL_FEATURES = {
    block: len(_COMMON) + sum(len(kind.features) for kind in kinds) + more for block, (kinds, more) in _BLOCKS.items()
}
"""Features of a cell, by block."""

_LENGTH_UNIT_CM = 50e-4


def grids(taus: TauCandidates, particles: Flat, common: dict[str, Floats]) -> dict[str, NDArray[np.float32]]:
    """Fill the grids of tau candidates.

    Parameters
    ----------
    taus : TauCandidates
    particles : Flat
    common : dict of float64 [taus]
        What is the same in every cell with a candidate: ``rho`` and of the tau ``tau_log_pt``, ``tau_eta`` and
        ``tau_in_crack``.

    Returns
    -------
    dict of float32 arrays [taus, side, side, features]
        ``input_<grid>_<block>``; of the sides the first is of pseudorapidity.
    """
    reach = max(side * size / 2 for side, size in TAU_GRIDS.values())
    tau, which, d_eta, d_phi = around(taus, particles, reach)
    # The hardest first, and of equal ones the first of the file: a cell takes the first that comes.
    order = np.lexsort((which, -particles.columns["pt"][which], tau))
    order = order[particles.columns["pt"][which[order]] > 0]
    tau, which, d_eta, d_phi = tau[order], which[order], d_eta[order], d_phi[order]
    p = particles.take(which)
    lead = (particles.first[np.repeat(np.arange(len(taus.counts)), taus.counts)] + taus.lead)[tau] == which
    columns = _columns(p, taus.pt[tau], d_eta, d_phi, lead) | {name: common[name][tau] for name in _COMMON}
    code = np.abs(p["pdgId"])
    filled = {}
    for grid, (side, size) in TAU_GRIDS.items():
        row, column = (np.floor(d / size + side / 2).astype(np.int64) for d in (d_eta, d_phi))
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        cell = (tau * side + row) * side + column
        for block, (kinds, _) in _BLOCKS.items():
            cells = np.zeros((len(taus.pt) * side * side, CELL_FEATURES[block]), np.float32)
            place = len(_COMMON)
            for kind in kinds:
                chosen = np.flatnonzero(inside & (code == kind.pdg_id))
                chosen = chosen[np.unique(cell[chosen], return_index=True)[1]]
                _write(cells, cell[chosen], 0, columns, _COMMON, chosen)
                _write(cells, cell[chosen], place, columns, kind.features, chosen)
                place += len(kind.features)
            filled[f"input_{grid}_{block}"] = cells.reshape(len(taus.pt), side, side, CELL_FEATURES[block])
    return filled


def momenta(inputs: Mapping[str, NDArray[np.float32]], grid: str, tau: int) -> dict[str, NDArray[np.float32]]:
    """Return the momenta of what is in a tau's cells, relative to the tau's, by kind: float32 [side, side]."""
    found = {}
    for block, (kinds, _) in _BLOCKS.items():
        cells, place = inputs[f"input_{grid}_{block}"][tau], len(_COMMON)
        for kind in kinds:
            found[kind.name] = cells[..., place + _PLACE.index("rel_pt")]
            place += len(kind.features)
    return found


def _write(
    cells: NDArray[np.float32],
    rows: Ints,
    place: int,
    columns: dict[str, Floats],
    names: tuple[str, ...],
    chosen: Ints,
) -> None:
    for i, name in enumerate(names):
        if name not in CELL_NOT_FILLED:
            cells[rows, place + i] = columns[name][chosen]


def _columns(
    p: dict[str, Floats], tau_pt: Floats, d_eta: Floats, d_phi: Floats, lead: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Features of candidates, each with its tau."""
    detailed = (p["charge"] != 0) & (p["trkQuality"] > 0)
    d0, dz = np.where(detailed, p["d0"], 0.0), np.where(detailed, p["dz"], 0.0)
    columns = {
        "valid": np.ones(len(tau_pt)),
        "rel_pt": np.clip(p["pt"] / tau_pt, 0.0, 10.0),
        "deta": d_eta / 0.5,
        "dphi": d_phi / 0.5,
        "lead": lead.astype(np.float64),
        "pv_association": p["pvAssocQuality"] / 7.0,
        "puppi_weight": np.clip(p["puppiWeight"], 0.0, 1.0),
        "charge": np.sign(p["charge"]),
        "lost_inner_hits": np.clip(p["lostInnerHits"], -1.0, 2.0),
        "has_track": detailed.astype(np.float64),
        "dxy": np.arcsinh(d0 / _LENGTH_UNIT_CM),
        "dxy_significance": np.arcsinh(d0 / np.where(detailed, np.maximum(p["d0Err"], 1e-5), 1.0)),
        "dz": np.arcsinh(dz / _LENGTH_UNIT_CM),
        "dz_significance": np.arcsinh(dz / np.where(detailed, np.maximum(p["dzErr"], 1e-5), 1.0)),
        "chi2": np.where(detailed, np.clip(p["trkChi2"], 0.0, 10.0), 0.0),
    }
    return {name: finite(values) for name, values in columns.items()}
