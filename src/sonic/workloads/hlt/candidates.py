"""Candidates for flavour tagging: the tracks of the vertex, and what towers have beyond them.

They are given the branches of a PFNano file, so that the tagger's inputs are built by the very function that it was
trained with. There are no secondary vertices: those places of its inputs stay empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from sonic.framework import Producer
from sonic.workloads.angles import wrap
from sonic.workloads.features import JET_BRANCHES
from sonic.workloads.hcal.geometry import ETA_EDGES, MAX_IETA, tower_of
from sonic.workloads.hlt.jets import towers_of
from sonic.workloads.hlt.region import vertex_mm
from sonic.workloads.simulation.jets import RADIUS
from sonic.workloads.tracking.detector import BARREL, PION_MASS_GEV
from sonic.workloads.tracking.helix import COT, D0, PHI, QPT, Z0, cross
from sonic.workloads.tracking.sample import PARTS

if TYPE_CHECKING:
    from sonic.framework.module import Columns
    from sonic.workloads.hcal.towers import Towers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CM = 0.1
"""In PFNano lengths are in cm."""
_NEAR_MM, _NEAR_SIGMAS, _FITTED_SIGMAS = 1.0, 3.0, 5.0
_FACE_MM = BARREL.radii_mm[-1]
"""Where a track's tower is looked for: no further than where it is measured."""
_PHIS = 72
_MIN_EXCESS_ET_GEV = 0.5
_FITTED, _CLOSE = 7, 5
_GOOD_TRACK = 5
UNTAGGED = -1.0


class Tracks(NamedTuple):
    """Tracks of one event that belong to its vertex.

    Attributes
    ----------
    parameters : float array [5, tracks]
    errors : float array [5, tracks]
    dz_mm : float array [tracks]
        From the vertex.
    chi2 : float array [tracks]
        For each degree of freedom.
    lost : int array [tracks]
        Innermost layers without a hit.
    """

    parameters: Floats
    errors: Floats
    dz_mm: Floats
    chi2: Floats
    lost: Ints

    @property
    def pt_gev(self) -> Floats:
        """Transverse momentum."""
        pt: Floats = 1.0 / np.abs(self.parameters[QPT])
        return pt

    @property
    def eta(self) -> Floats:
        """Pseudorapidity."""
        eta: Floats = np.arcsinh(self.parameters[COT])
        return eta


class Candidates(Producer):
    """Candidates near the jets that are to be tagged, and how many of their tracks miss the vertex."""

    name = "candidates"
    consumes = (
        *(f"Track_{part}" for part in PARTS),
        *(f"Track_{part}Error" for part in PARTS),
        "Track_chi2",
        "Track_good",
        "Track_hits",
        "Tower_energy",
        "Jet_eta",
        "Jet_phi",
        "Jet_taggable",
    )
    produces = (
        *(branch for branch in JET_BRANCHES if branch.partition("_")[0] != "Jet"),
        "Jet_trackCount",
        "Jet_nTracks",
        "PV_z",
    )

    def produce(self, events: ak.Array) -> Columns:
        """Make the candidates of each event; momenta in GeV, lengths in cm."""
        rows = [_event(event) for event in events]
        names = [name for name in self.produces if name not in ("PV_z", "Jet_trackCount", "Jet_nTracks")]
        columns: dict[str, ak.Array | np.ndarray] = {}
        for name in names:
            parts = [row.get(name, _NONE) for row in rows]
            kind = np.int32 if name.endswith(("Idx", "charge", "Quality", "lostInnerHits", "ntracks")) else np.float32
            flat = np.concatenate([_NONE, *parts]).astype(kind)
            columns[name] = ak.unflatten(flat, np.array([len(part) for part in parts], np.int64))
        counts = np.asarray(ak.num(events.Jet_eta))
        for name, kind in (("Jet_trackCount", np.float32), ("Jet_nTracks", np.int32)):
            columns[name] = ak.unflatten(np.concatenate([_NONE, *(row[name] for row in rows)]).astype(kind), counts)
        columns["PV_z"] = np.array([row["PV_z"][0] for row in rows], np.float32)
        return columns


_NONE = np.empty(0)


def _event(event: ak.Record) -> dict[str, Floats]:
    tracks, z_mm = of_vertex(event)
    made = towers_of(event)
    eta, phi, excess = made.eta, made.phi, beyond_tracks(tracks, made)
    neutral = excess > _MIN_EXCESS_ET_GEV * np.cosh(eta)
    eta, phi, excess = eta[neutral], phi[neutral], excess[neutral]
    charged = _charged(tracks)
    none = np.full(len(eta), -1.0)
    towers = {"pt": excess / np.cosh(eta), "eta": eta, "phi": phi, "mass": 0 * eta, "charge": 0 * eta}
    towers |= {"pvAssocQuality": 0 * eta + _FITTED, "trkQuality": 0 * eta}
    columns = {f"PFCands_{name}": np.concatenate([charged[name], towers.get(name, none)]) for name in charged}

    jet_eta, jet_phi = (np.asarray(event[f"Jet_{part}"], np.float64) for part in ("eta", "phi"))
    wanted = np.asarray(event.Jet_taggable, bool)
    apart = _distance(columns["PFCands_eta"], columns["PFCands_phi"], jet_eta, jet_phi)
    apart[:, ~wanted] = np.inf
    closest = apart.argmin(axis=1) if wanted.any() else np.zeros(len(apart), np.int64)
    inside = np.flatnonzero(apart.min(axis=1, initial=np.inf) < RADIUS)
    columns |= {"JetPFCands_jetIdx": closest[inside].astype(float), "JetPFCands_pFCandsIdx": inside.astype(float)}

    count, number = np.full(len(jet_eta), UNTAGGED), np.zeros(len(jet_eta))
    for jet in np.flatnonzero(wanted):
        own = inside[(closest[inside] == jet) & (inside < len(tracks.chi2))]
        number[jet] = len(own)
        count[jet] = track_count(tracks, own, float(jet_phi[jet]))
    return columns | {"Jet_trackCount": count, "Jet_nTracks": number, "PV_z": np.array([_CM * z_mm])}


def of_vertex(event: ak.Record) -> tuple[Tracks, float]:
    """Return the good tracks of an event that come from its vertex, or decays near it, and the vertex's z in mm."""
    good = np.asarray(event.Track_good, bool)
    parameters, errors = (
        np.stack([np.asarray(event[f"Track_{part}{end}"], np.float64)[good] for part in PARTS]) for end in ("", "Error")
    )
    hits = np.asarray(ak.to_regular(event.Track_hits, axis=None)).reshape(-1, len(BARREL))[good] >= 0
    chi2 = np.asarray(event.Track_chi2, np.float64)[good] / np.maximum(2 * hits.sum(axis=1) - 5, 1)
    z_mm = vertex_mm(parameters[Z0], 1 / np.abs(parameters[QPT]))
    dz_mm = parameters[Z0] - z_mm
    near = np.abs(dz_mm) < _NEAR_MM + _NEAR_SIGMAS * errors[Z0]
    lost = np.argmax(hits, axis=1)
    return Tracks(parameters[:, near], errors[:, near], dz_mm[near], chi2[near], lost[near]), z_mm


def beyond_tracks(tracks: Tracks, made: Towers) -> Floats:
    """Return what is left of an event's towers less the tracks that point there and what those may be off, GeV.

    Parameters
    ----------
    tracks : Tracks
    made : Towers
        Of one event.

    Returns
    -------
    float array [towers]
    """
    at = cross(tracks.parameters, _FACE_MM, BARREL)
    inside = at.reached & (np.abs(tracks.eta) < ETA_EDGES[-1])
    ieta, iphi = tower_of(tracks.eta[inside], at.phi[inside])
    momenta = np.zeros((2 * MAX_IETA + 1, _PHIS + 1))
    np.add.at(momenta, (ieta, iphi), (tracks.pt_gev * np.cosh(tracks.eta))[inside])
    own = momenta[made.ieta, made.iphi]
    return made.energy_gev - own - np.sqrt(own)


def track_count(tracks: Tracks, own: Ints, jet_phi: float) -> float:
    """Return how significantly the second of a jet's tracks misses the vertex: the simplest tag of a b jet.

    Parameters
    ----------
    tracks : Tracks
    own : int array [tracks of the jet]
    jet_phi : float

    Returns
    -------
    float
        d0 over its error, positive where the track crosses the jet's axis in front; 0 with less than two tracks.
    """
    if len(own) < 2:
        return 0.0
    d0, phi = tracks.parameters[D0, own], tracks.parameters[PHI, own]
    # The point nearest to the beam lies at phi + 90 degrees times the sign of d0.
    ahead = np.sign(d0 * np.sin(wrap(jet_phi - phi)))
    significance = np.sort(ahead * np.abs(d0) / tracks.errors[D0, own])
    return float(max(significance[-2], 0.0))


def _charged(tracks: Tracks) -> dict[str, Floats]:
    d0, phi, qpt = tracks.parameters[D0], tracks.parameters[PHI], tracks.parameters[QPT]
    prompt = np.abs(d0) < _FITTED_SIGMAS * tracks.errors[D0]
    return {
        "pt": tracks.pt_gev,
        "eta": tracks.eta,
        "phi": phi,
        "mass": np.full(len(phi), PION_MASS_GEV),
        "charge": np.sign(qpt),
        "pvAssocQuality": np.where(prompt, _FITTED, _CLOSE),
        "lostInnerHits": np.where(tracks.lost == 0, -1, np.minimum(tracks.lost, 2)),
        "trkChi2": np.floor(tracks.chi2),
        "trkQuality": np.full(len(phi), _GOOD_TRACK),
        "d0": _CM * d0,
        "d0Err": _CM * tracks.errors[D0],
        "dz": _CM * tracks.dz_mm,
        "dzErr": _CM * tracks.errors[Z0],
    }


def _distance(eta: Floats, phi: Floats, jet_eta: Floats, jet_phi: Floats) -> Floats:
    """Distances in eta and phi; float array [candidates, jets]."""
    return np.hypot(eta[:, None] - jet_eta, wrap(phi[:, None] - jet_phi))
