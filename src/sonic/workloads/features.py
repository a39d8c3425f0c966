"""Inputs of the networks, from the branches of a PFNano file: the one definition, for training and for inference.

Pure: awkward arrays in, numpy arrays out. `events` is a record array with the branches of :data:`JET_BRANCHES` or
:data:`MET_BRANCHES` as fields, flat as in the file (``events.PFCands_pt``), from a real file or the simulation alike.
Every value is finite whatever the input holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np

from sonic.client.conversion.ragged import entries, lay, numbers, places, places_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

JET_BRANCHES: tuple[str, ...] = (
    "Jet_eta",
    "Jet_phi",
    "JetPFCands_jetIdx",
    "JetPFCands_pFCandsIdx",
    *(
        f"PFCands_{name}"
        for name in ("pt", "eta", "phi", "mass", "charge", "pvAssocQuality", "lostInnerHits", "trkChi2")
    ),
    *(f"PFCands_{name}" for name in ("trkQuality", "d0", "d0Err", "dz", "dzErr")),
    "JetSVs_jetIdx",
    "JetSVs_sVIdx",
    *(f"SV_{name}" for name in ("pt", "eta", "phi", "mass", "ntracks", "chi2")),
    *(f"SV_{name}" for name in ("dxy", "dxySig", "dlen", "dlenSig")),
)
"""Branches that :func:`jet_inputs` reads."""

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

MAX_PARTICLES = 50
MAX_VERTICES = 5
_LENGTH_UNIT_CM = 50e-4

MET_BRANCHES: tuple[str, ...] = tuple(
    f"PFCands_{name}"
    for name in (
        *("pt", "eta", "phi", "mass", "charge", "pdgId"),
        *("puppiWeight", "pvAssocQuality", "trkQuality", "d0", "dz"),
    )
)
"""Branches that :func:`met_inputs` reads."""

MET_FEATURES = ("dxy", "dz", "eta", "mass", "pt", "puppi_weight", "px", "py")
"""Continuous features of a candidate: asinh(dxy / 100 um), asinh(dz / 1 mm), momenta in units of 50 GeV."""

MET_PT = MET_FEATURES.index("pt")
MET_PX = MET_FEATURES.index("px")
MET_SCALE_GEV = 50.0
MAX_CANDIDATES = 4500
_PDG_CODES = (-211, -13, -11, 0, 1, 2, 11, 13, 22, 130, 211)
MET_VOCABULARIES = (3, len(_PDG_CODES), 4)
"""Number of values of the categories: charge (-1, 0, 1), kind of candidate, and how it belongs to the primary vertex
(0 not, 1 loosely, 2 tightly, 3 used in its fit or neutral)."""


class _Flat(NamedTuple):
    """Jagged columns of one collection, flattened."""

    counts: Ints
    columns: dict[str, Floats]

    @property
    def first(self) -> Ints:
        return np.cumsum(self.counts) - self.counts


def _flat(events: ak.Array, collection: str, names: tuple[str, ...]) -> _Flat:
    columns = {}
    counts = np.zeros(len(events), np.int64)
    for name in names:
        # By way of the layout: with dozens of branches, high-level calls would take longer than the networks.
        found = entries(ak.to_layout(events[f"{collection}_{name}"]))
        counts = found.counts
        columns[name] = np.asarray(numbers(found.content), np.float64)
    return _Flat(counts, columns)


def wrap(phi: Floats) -> Floats:
    """Bring an angle into [-pi, pi)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


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
    jet = _flat(events, "Jet", ("eta", "phi"))
    wanted = np.ones(int(jet.counts.sum()), bool) if jets is None else np.asarray(ak.flatten(jets), bool)
    number = np.where(wanted, np.cumsum(wanted) - 1, -1)

    link = _flat(events, "JetPFCands", ("jetIdx", "pFCandsIdx"))
    pf_names = tuple(n.removeprefix("PFCands_") for n in JET_BRANCHES if n.startswith("PFCands_"))
    particles = _flat(events, "PFCands", pf_names)
    of, which = _pairs(link.counts, link.columns["jetIdx"], link.columns["pFCandsIdx"], jet, particles, number)
    p = {name: column[which] for name, column in particles.columns.items()}
    pf_points, pf_features = _particle_features(p, jet.columns["eta"][of], jet.columns["phi"][of])

    link = _flat(events, "JetSVs", ("jetIdx", "sVIdx"))
    sv_names = tuple(n.removeprefix("SV_") for n in JET_BRANCHES if n.startswith("SV_"))
    vertices = _flat(events, "SV", sv_names)
    sv_of, which = _pairs(link.counts, link.columns["jetIdx"], link.columns["sVIdx"], jet, vertices, number)
    v = {name: column[which] for name, column in vertices.columns.items()}
    sv_points, sv_features = _vertex_features(v, jet.columns["eta"][sv_of], jet.columns["phi"][sv_of])

    rows = int(wanted.sum())
    return {
        **_padded("pf", number[of], p["pt"], pf_points, pf_features, rows, MAX_PARTICLES),
        **_padded("sv", number[sv_of], v["dlenSig"], sv_points, sv_features, rows, MAX_VERTICES),
    }


def _pairs(
    counts: Ints, jet_index: Floats, member_index: Floats, jets: _Flat, members: _Flat, number: Ints
) -> tuple[Ints, Ints]:
    """Flat indices of the jets and of the members that a list of pairs links; pairs that point nowhere are left out."""
    event = np.repeat(np.arange(len(counts)), counts)
    jet, member = jet_index.astype(np.int64), member_index.astype(np.int64)
    good = (jet >= 0) & (member >= 0) & (jet < jets.counts[event]) & (member < members.counts[event])
    event, jet, member = event[good], jet[good], member[good]
    flat_jet = jets.first[event] + jet
    taken = number[flat_jet] >= 0
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
    return _finite(np.stack((eta_rel, phi_rel))), _finite(np.stack(features))


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
    return _finite(np.stack((eta_rel, phi_rel))), _finite(np.stack(features))


def _direction(eta: Floats, phi: Floats) -> Floats:
    return np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)]) / np.cosh(eta)


def _length(value_cm: Floats) -> Floats:
    return np.arcsinh(value_cm / _LENGTH_UNIT_CM)


def _finite(values: Floats) -> Floats:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


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


def met_inputs(events: ak.Array) -> dict[str, NDArray[np.float32] | NDArray[np.int32]]:
    """Build the inputs of DeepMET for events.

    Parameters
    ----------
    events : ak.Array
        With :data:`MET_BRANCHES`.

    Returns
    -------
    dict of arrays
        ``input`` [N, 4500, 8] float32 (:data:`MET_FEATURES`), ``input_cat0``, ``input_cat1``, ``input_cat2``
        [N, 4500, 1] int32 (see :data:`MET_VOCABULARIES`), zero where there is no candidate. Beyond 4500 candidates
        those of highest transverse momentum are taken.
    """
    names = tuple(name.removeprefix("PFCands_") for name in MET_BRANCHES)
    counts, c = _flat(events, "PFCands", names)
    where = places(counts, MAX_CANDIDATES, c["pt"], only_to_cut=True)
    detailed = (c["charge"] != 0) & (c["trkQuality"] > 0)
    scaled = c["pt"] / MET_SCALE_GEV
    features = (
        np.arcsinh(np.where(detailed, c["d0"], 0.0) / 0.01),
        np.arcsinh(np.where(detailed, c["dz"], 0.0) / 0.1),
        c["eta"],
        np.clip(c["mass"], 0.0, 1.0),
        scaled,
        np.clip(c["puppiWeight"], 0.0, 1.0),
        scaled * np.cos(c["phi"]),
        scaled * np.sin(c["phi"]),
    )
    inputs = {"input": lay(where, _finite(np.stack(features)), np.float32, axis=2)}
    categories = {f"input_cat{i}": lay(where, [codes], np.int32, axis=2) for i, codes in enumerate(_categories(c))}
    return inputs | categories


def _categories(c: dict[str, Floats]) -> tuple[Ints, Ints, Ints]:
    """Codes of charge, kind and relation to the primary vertex; unknown kinds count as 0, "none"."""
    charge = np.sign(c["charge"]).astype(np.int64) + 1
    codes = np.array(_PDG_CODES)
    pdg_id = c["pdgId"].astype(np.int64)
    at = np.minimum(np.searchsorted(codes, pdg_id), len(codes) - 1)
    kind = np.where(codes[at] == pdg_id, at, _PDG_CODES.index(0))
    quality = c["pvAssocQuality"]
    fit = np.select([quality >= 6, quality >= 4], [3, 2], 1)
    vertex = np.where(c["charge"] == 0, 3, np.where(c["puppiWeight"] > 0, fit, 0))
    return charge, kind, vertex
