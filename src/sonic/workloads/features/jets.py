"""Inputs of ParticleNet, for AK4 jets and for wide ones (AK8): particles and secondary vertices of each jet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.client.conversion.ragged import lay, places_of
from sonic.workloads.angles import wrap
from sonic.workloads.features.flat import fields, finite, flat, integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Flat, Floats, Ints

_PARTICLE_BRANCHES = (
    *(
        f"PFCands_{name}"
        for name in ("pt", "eta", "phi", "mass", "charge", "pvAssocQuality", "lostInnerHits", "trkChi2")
    ),
    *(f"PFCands_{name}" for name in ("trkQuality", "d0", "d0Err", "dz", "dzErr")),
)
_VERTEX_BRANCHES = (
    *(f"SV_{name}" for name in ("pt", "eta", "phi", "mass", "ntracks", "chi2")),
    *(f"SV_{name}" for name in ("dxy", "dxySig", "dlen", "dlenSig")),
)

JET_BRANCHES: tuple[str, ...] = (
    "Jet_eta",
    "Jet_phi",
    "JetPFCands_jetIdx",
    "JetPFCands_pFCandsIdx",
    *_PARTICLE_BRANCHES,
    "JetSVs_jetIdx",
    "JetSVs_sVIdx",
    *_VERTEX_BRANCHES,
)
"""Branches that :func:`jet_inputs` reads."""

WIDE_JET_BRANCHES: tuple[str, ...] = (
    "FatJet_pt",
    "FatJet_eta",
    "FatJet_phi",
    "FatJetPFCands_jetIdx",
    "FatJetPFCands_pFCandsIdx",
    *_PARTICLE_BRANCHES,
    "PFCands_pdgId",
    "PFCands_puppiWeight",
    "FatJetSVs_jetIdx",
    "FatJetSVs_sVIdx",
    *_VERTEX_BRANCHES,
)
"""Branches that :func:`wide_jet_inputs` reads."""

PF_FEATURES = (
    "log_pt",
    "log_energy",
    "eta_rel",
    "phi_rel",
    "abs_eta",
    "charge",
    "pv_association",
    "lost_inner_hits",
    "chi2",
    "track_quality",
    "dz",
    "dz_significance",
    "dxy",
    "dxy_significance",
    "btag_eta_rel",
    "btag_pt_ratio",
    "btag_parallel_ratio",
    "btag_ip3d",
    "btag_ip3d_significance",
    "btag_jet_distance",
)
"""Features of a particle of a jet. Lengths, in units of 50 um, and significances are compressed with asinh; those of
the track, from ``chi2`` on, are 0 where the file has no details of it."""

SV_FEATURES = (
    "log_pt",
    "mass",
    "eta_rel",
    "phi_rel",
    "abs_eta",
    "tracks",
    "chi2",
    "log_dxy",
    "log_dxy_significance",
    "log_d3d",
    "log_d3d_significance",
)
"""Features of a secondary vertex of a jet; lengths in cm."""

WIDE_PF_FEATURES = (*PF_FEATURES, "log_pt_rel", "jet_distance", "puppi_weight", "electron", "muon")
"""Features of a particle of a wide jet: besides those of AK4, the logarithm of its share of the jet's transverse
momentum, its distance to the axis, its weight, and whether it is a lepton. CMS's network for AK8 jets has 25 as well;
the last five of these are our choice."""

MAX_JET_ETA, MAX_WIDE_JET_ETA = 2.5, 2.4
"""Jets beyond have no tracks to tag by: none is trained on, and none is tagged."""
MAX_PARTICLES, MAX_VERTICES = 50, 5
WIDE_MAX_PARTICLES, WIDE_MAX_VERTICES = 100, 10
_LENGTH_UNIT_CM = 50e-4


@dataclass(frozen=True, slots=True)
class _Kind:
    """A collection of jets: how its branches are called, and how many of what is in a jet are taken."""

    jets: str
    particles: str
    vertices: str
    branches: tuple[str, ...]
    max_particles: int
    max_vertices: int


_AK4 = _Kind("Jet", "JetPFCands", "JetSVs", JET_BRANCHES, MAX_PARTICLES, MAX_VERTICES)
_AK8 = _Kind("FatJet", "FatJetPFCands", "FatJetSVs", WIDE_JET_BRANCHES, WIDE_MAX_PARTICLES, WIDE_MAX_VERTICES)


def jet_inputs(events: ak.Array, jets: ak.Array | None = None) -> dict[str, NDArray[np.float32]]:
    """Build the inputs of ParticleNet for jets.

    Parameters
    ----------
    events : ak.Array
        With :data:`JET_BRANCHES`.
    jets : ak.Array of bool, events * var, optional
        Which jets to take; all by default. They stay in the order of the file.

    Returns
    -------
    dict of float32 arrays
        ``pf_points`` [N, 2, 50], ``pf_features`` [N, 20, 50] (:data:`PF_FEATURES`), ``pf_mask`` [N, 1, 50]: the 50
        particles of highest transverse momentum; ``sv_points`` [N, 2, 5], ``sv_features`` [N, 11, 5]
        (:data:`SV_FEATURES`), ``sv_mask`` [N, 1, 5]: the 5 vertices of highest significance. Points are eta and phi
        relative to the jet, eta mirrored so that the jet's is positive.
    """
    return _inputs(events, jets, _AK4)


def wide_jet_inputs(events: ak.Array, jets: ak.Array | None = None) -> dict[str, NDArray[np.float32]]:
    """Build the inputs of ParticleNet for wide jets.

    Parameters
    ----------
    events : ak.Array
        With :data:`WIDE_JET_BRANCHES`.
    jets : ak.Array of bool, events * var, optional
        Which jets to take; all by default. They stay in the order of the file.

    Returns
    -------
    dict of float32 arrays
        As from :func:`jet_inputs`, for 100 particles with 25 features (:data:`WIDE_PF_FEATURES`) and 10 vertices.
    """
    return _inputs(events, jets, _AK8)


def _inputs(events: ak.Array, jets: ak.Array | None, kind: _Kind) -> dict[str, NDArray[np.float32]]:
    jet = flat(events, kind.jets, fields(kind.branches, kind.jets))
    wanted = np.ones(int(jet.counts.sum()), bool) if jets is None else np.asarray(ak.flatten(jets), bool)
    number = np.where(wanted, np.cumsum(wanted) - 1, -1)

    link = flat(events, kind.particles, ("jetIdx", "pFCandsIdx"))
    particles = flat(events, "PFCands", fields(kind.branches, "PFCands"))
    of, which = pairs(link, jet, particles, number >= 0)
    p, axis = particles.take(which), jet.take(of)
    pf_points, pf_features = _particle_features(p, axis["eta"], axis["phi"])
    if kind is _AK8:
        pf_features = np.concatenate((pf_features, _wide_features(p, axis)))

    link = flat(events, kind.vertices, ("jetIdx", "sVIdx"))
    vertices = flat(events, "SV", fields(kind.branches, "SV"))
    sv_of, which = pairs(link, jet, vertices, number >= 0)
    v, axis = vertices.take(which), jet.take(sv_of)
    sv_points, sv_features = _vertex_features(v, axis["eta"], axis["phi"])

    rows = int(wanted.sum())
    return {
        **_padded("pf", number[of], p["pt"], pf_points, pf_features, rows, kind.max_particles),
        **_padded("sv", number[sv_of], v["dlenSig"], sv_points, sv_features, rows, kind.max_vertices),
    }


def pairs(link: Flat, jets: Flat, members: Flat, wanted: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Flat indices of the jets and of the members that a list of pairs links.

    Parameters
    ----------
    link : Flat
        Two columns: the jet's index in its event, and the member's.
    jets, members : Flat
    wanted : bool [jets]
        Pairs of other jets are left out, and so are those that point nowhere.
    """
    event = link.event
    jet, member = (integers(column) for column in link.columns.values())
    good = (jet >= 0) & (member >= 0) & (jet < jets.counts[event]) & (member < members.counts[event])
    event, jet, member = event[good], jet[good], member[good]
    flat_jet = jets.first[event] + jet
    taken = wanted[flat_jet]
    return flat_jet[taken], (members.first[event] + member)[taken]


def _particle_features(p: dict[str, Floats], jet_eta: Floats, jet_phi: Floats) -> tuple[Floats, Floats]:
    """Points [2, n] and features [20, n] of particles, each with its jet's direction."""
    side = np.where(jet_eta < 0, -1.0, 1.0)
    eta_rel, phi_rel = (p["eta"] - jet_eta) * side, wrap(p["phi"] - jet_phi)
    pt = np.maximum(p["pt"], 1e-3)
    momentum = pt * np.cosh(p["eta"])
    energy = np.hypot(momentum, p["mass"])

    detailed = (p["charge"] != 0) & (p["trkQuality"] > 0)
    d0, dz = np.where(detailed, p["d0"], 0.0), np.where(detailed, p["dz"], 0.0)
    d0_error = np.where(detailed, np.maximum(p["d0Err"], 1e-5), 1.0)
    dz_error = np.where(detailed, np.maximum(p["dzErr"], 1e-5), 1.0)

    # Unit vectors along the particle and the jet.
    track = _direction(p["eta"], p["phi"])
    axis = _direction(jet_eta, jet_phi)
    cosine = np.clip((track * axis).sum(axis=0), -1.0, 1.0)
    parallel, across = momentum * cosine, np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    eta_along = np.arctanh(np.clip(parallel / np.maximum(energy, 1e-6), -1 + 1e-9, 1 - 1e-9))

    # The track as a line through its point of closest approach to the beam.
    point = np.stack([-d0 * np.sin(p["phi"]), d0 * np.cos(p["phi"]), dz])
    nearest = point - (point * track).sum(axis=0) * track
    ip3d = np.sqrt((nearest**2).sum(axis=0))
    sin2 = 1.0 / np.cosh(p["eta"]) ** 2
    ip3d_error = np.sqrt((d0 * d0_error) ** 2 + (dz * sin2 * dz_error) ** 2) / np.maximum(ip3d, 1e-9)
    ip3d = np.where((nearest * axis).sum(axis=0) < 0, -ip3d, ip3d)
    normal = np.cross(track, axis, axis=0) / np.maximum(across, 1e-6)
    distance = -np.abs((point * normal).sum(axis=0))

    features = (
        np.log(pt),
        np.log(np.maximum(energy, 1e-3)),
        eta_rel,
        phi_rel,
        np.abs(p["eta"]),
        p["charge"],
        p["pvAssocQuality"],
        p["lostInnerHits"],
        np.where(detailed, np.clip(p["trkChi2"], 0.0, 10.0), 0.0),
        np.where(detailed, p["trkQuality"], 0.0),
        _length(dz),
        np.arcsinh(dz / dz_error),
        _length(d0),
        np.arcsinh(d0 / d0_error),
        np.where(detailed, eta_along, 0.0),
        np.where(detailed, across, 0.0),
        np.where(detailed, cosine, 0.0),
        _length(ip3d),
        np.arcsinh(np.where(detailed, ip3d / np.maximum(ip3d_error, 1e-6), 0.0)),
        _length(distance),
    )
    return finite(np.stack((eta_rel, phi_rel))), finite(np.stack(features))


def _wide_features(p: dict[str, Floats], jet: dict[str, Floats]) -> Floats:
    """Features [5, n] that particles of wide jets have in addition."""
    distance = np.hypot(p["eta"] - jet["eta"], wrap(p["phi"] - jet["phi"]))
    code = np.abs(p["pdgId"])
    return finite(
        np.stack(
            (
                np.log(np.maximum(p["pt"], 1e-3) / np.maximum(jet["pt"], 1.0)),
                distance,
                np.clip(p["puppiWeight"], 0.0, 1.0),
                code == 11,
                code == 13,
            )
        )
    )


def _vertex_features(v: dict[str, Floats], jet_eta: Floats, jet_phi: Floats) -> tuple[Floats, Floats]:
    """Points [2, n] and features [11, n] of vertices, each with its jet's direction."""
    side = np.where(jet_eta < 0, -1.0, 1.0)
    eta_rel, phi_rel = (v["eta"] - jet_eta) * side, wrap(v["phi"] - jet_phi)
    features = (
        np.log(np.maximum(v["pt"], 1e-3)),
        np.clip(v["mass"], 0.0, 20.0),
        eta_rel,
        phi_rel,
        np.abs(v["eta"]),
        v["ntracks"],
        np.clip(v["chi2"], 0.0, 10.0),
        *(np.log(np.maximum(v[name], 1e-3)) for name in ("dxy", "dxySig", "dlen", "dlenSig")),
    )
    return finite(np.stack((eta_rel, phi_rel))), finite(np.stack(features))


def _direction(eta: Floats, phi: Floats) -> Floats:
    return np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)]) / np.cosh(eta)


def _length(value_cm: Floats) -> Floats:
    return np.arcsinh(value_cm / _LENGTH_UNIT_CM)


def _padded(
    name: str, row: Ints, rank_by: Floats, points: Floats, features: Floats, rows: int, size: int
) -> dict[str, NDArray[np.float32]]:
    """Lay entries, of rows in any order, out as [rows, columns, size], highest `rank_by` first."""
    where = places_of(row, rows, size, rank_by)
    return {
        f"{name}_points": lay(where, points, np.float32),
        f"{name}_features": lay(where, features, np.float32),
        f"{name}_mask": lay(where, np.ones((1, len(row))), np.float32),
    }
