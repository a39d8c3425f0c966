"""Inputs of DeepTau (arXiv:2201.08458): of each tau candidate its own features, and two grids of what is around it.

Which input stands where is as in CMS's network; what PFNano does not have is 0, and listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.features.flat import fields, finite, flat
from sonic.workloads.features.tau_candidates import (
    CANDIDATE_BRANCHES,
    around,
    is_charged_hadron,
    is_electromagnetic,
    tau_candidates,
)
from sonic.workloads.features.tau_grids import grids

if TYPE_CHECKING:
    import awkward as ak
    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Flat, Floats
    from sonic.workloads.features.tau_candidates import TauCandidates

TAU_BRANCHES: tuple[str, ...] = (
    *CANDIDATE_BRANCHES,
    "fixedGridRhoFastjetAll",
    *(f"PFCands_{name}" for name in ("d0", "d0Err", "dzErr", "trkChi2", "puppiWeight", "pvAssocQuality")),
    "PFCands_lostInnerHits",
)
"""Branches that :func:`tau_inputs` reads."""

TAU_FEATURES = (
    *("rho", "log_pt", "eta", "phi", "mass", "energy_over_pt", "charge", "prongs", "strips"),
    *("charged_isolation", "charged_isolation_ratio", "footprint", "neutral_isolation", "weighted_neutral_isolation"),
    *("weighted_neutral_isolation_ratio", "neutral_isolation_ratio", "photons_outside_cone", "pile_up"),
    *("pca_x", "pca_y", "pca_z", "dxy_valid", "dxy", "dxy_significance", "ip3d_valid", "ip3d", "ip3d_significance"),
    *("dz", "dz_significance_valid", "dz_significance", "flight_x", "flight_y", "flight_z", "flight_significance"),
    *("strip_deta", "strip_dphi", "signal_dr", "isolation_dr", "lead_chi2", "e_ratio_valid", "e_ratio"),
    *("gj_angle_valid", "gj_angle", "photons", "em_fraction", "in_crack", "lead_eta_at_calorimeter"),
)
"""A tau's own features, in the network's order. Sums of momenta are relative to the tau's, lengths in units of 50 um
and significances compressed with asinh; ``..._ratio`` is what a cone of 0.3 has of one of 0.5."""

TAU_NOT_FILLED = frozenset(
    (
        *("footprint", "weighted_neutral_isolation", "weighted_neutral_isolation_ratio", "pca_x", "pca_y", "pca_z"),
        *("flight_x", "flight_y", "flight_z", "flight_significance", "e_ratio_valid", "e_ratio"),
        *("gj_angle_valid", "gj_angle", "lead_eta_at_calorimeter"),
    )
)
"""Those of them that are always 0: PFNano has no secondary vertices of taus, tracks in the calorimeter or strips."""

_LENGTH_UNIT_CM = 50e-4
_WIDE, _NARROW, _PILE_UP_CONE = 0.5, 0.3, 0.8
_CRACK = (1.4442, 1.566)


def tau_inputs(events: ak.Array, taus: TauCandidates | None = None) -> dict[str, NDArray[np.float32]]:
    """Build the inputs of DeepTau for tau candidates.

    Parameters
    ----------
    events : ak.Array
        With :data:`TAU_BRANCHES`.
    taus : TauCandidates, optional
        Of these events; made from them otherwise.

    Returns
    -------
    dict of float32 arrays
        ``input_tau`` [N, 47] (:data:`TAU_FEATURES`), and for the grids ``inner`` of 11 and ``outer`` of 21 cells on a
        side ``input_<grid>_egamma`` [N, side, side, 86], ``..._muon`` [..., 64] and ``..._hadrons`` [..., 38]; see
        :mod:`sonic.workloads.features.tau_grids`. 0.42 MB a tau.
    """
    taus = tau_candidates(events) if taus is None else taus
    particles = flat(events, "PFCands", fields(TAU_BRANCHES, "PFCands"))
    rho = np.repeat(np.asarray(events.fixedGridRhoFastjetAll, np.float64), taus.counts)
    common = {
        "rho": finite(rho) / 30.0,
        "tau_log_pt": np.log(taus.pt / 20.0),
        "tau_eta": taus.eta / 2.3,
        "tau_in_crack": ((np.abs(taus.eta) > _CRACK[0]) & (np.abs(taus.eta) < _CRACK[1])).astype(np.float64),
    }
    columns = {
        "rho": common["rho"],
        "log_pt": common["tau_log_pt"],
        "eta": common["tau_eta"],
        "in_crack": common["tau_in_crack"],
        "phi": taus.phi / np.pi,
        "mass": np.clip(taus.mass, 0.0, 5.0),
        "energy_over_pt": np.log(np.hypot(np.cosh(taus.eta), taus.mass / taus.pt)),
        "charge": np.clip(taus.charge, -3, 3).astype(np.float64),
        "prongs": taus.prongs / 3.0,
        "strips": taus.strips.astype(np.float64),
    }
    columns |= _sums(taus, particles) | _lead(taus, particles)
    table = np.zeros((len(taus.pt), len(TAU_FEATURES)), np.float32)
    for place, name in enumerate(TAU_FEATURES):
        if name not in TAU_NOT_FILLED:
            table[:, place] = finite(columns[name])
    return {"input_tau": table, **grids(taus, particles, common)}


def _sums(taus: TauCandidates, particles: Flat) -> dict[str, Floats]:
    """Sum up what is in and around the signal cone."""
    tau, which, d_eta, d_phi = around(taus, particles, _PILE_UP_CONE)
    p = particles.take(which)
    distance = np.hypot(d_eta, d_phi)
    size = len(taus.pt)

    def total(wanted: NDArray[np.bool_], values: Floats) -> Floats:
        return np.bincount(tau[wanted], finite(values[wanted]), size).astype(np.float64)

    signal = distance < taus.cone[tau]
    wide, narrow = ~signal & (distance < _WIDE), ~signal & (distance < _NARROW)
    charged, photon = is_charged_hadron(p), is_electromagnetic(p)
    strip = photon & (np.abs(d_eta) < 0.05) & (np.abs(d_phi) < 0.2)
    energy = p["pt"] * np.cosh(p["eta"])
    charged_pt, neutral_pt = total(charged & wide, p["pt"]), total(photon & wide, p["pt"])
    strip_pt = np.maximum(total(strip, p["pt"]), 1e-3)
    signal_pt = np.maximum(total((charged | photon) & signal, p["pt"]), 1e-3)
    outside_pt = np.maximum(charged_pt + neutral_pt, 1e-3)
    elsewhere = (p["charge"] != 0) & (p["puppiWeight"] <= 0) & (distance < _PILE_UP_CONE)
    return {
        "charged_isolation": np.arcsinh(charged_pt / taus.pt),
        "charged_isolation_ratio": total(charged & narrow, p["pt"]) / np.maximum(charged_pt, 1e-3),
        "neutral_isolation": np.arcsinh(neutral_pt / taus.pt),
        "neutral_isolation_ratio": total(photon & narrow, p["pt"]) / np.maximum(neutral_pt, 1e-3),
        "photons_outside_cone": np.arcsinh(total(strip & ~signal, p["pt"]) / taus.pt),
        "pile_up": np.arcsinh(0.2 * total(elsewhere, p["pt"]) / taus.pt),
        "strip_deta": total(strip, p["pt"] * np.abs(d_eta)) / strip_pt / 0.05,
        "strip_dphi": total(strip, p["pt"] * np.abs(d_phi)) / strip_pt / 0.2,
        "signal_dr": total((charged | photon) & signal, p["pt"] * distance) / signal_pt / 0.1,
        "isolation_dr": total((charged | photon) & wide, p["pt"] * distance) / outside_pt / _WIDE,
        "photons": np.log1p(total(strip, np.ones(len(tau)))),
        "em_fraction": total(photon & signal, energy) / np.maximum(total((charged | photon) & signal, energy), 1e-3),
    }


def _lead(taus: TauCandidates, particles: Flat) -> dict[str, Floats]:
    """Impact parameter of the hardest charged hadron."""
    event = np.repeat(np.arange(len(taus.counts)), taus.counts)
    p = particles.take(particles.first[event] + taus.lead)
    detailed = p["trkQuality"] > 0
    d0, dz = np.where(detailed, p["d0"], 0.0), np.where(detailed, p["dz"], 0.0)
    d0_error = np.where(detailed, np.maximum(p["d0Err"], 1e-5), 1.0)
    dz_error = np.where(detailed, np.maximum(p["dzErr"], 1e-5), 1.0)
    along = dz / np.cosh(p["eta"])
    ip3d = np.hypot(d0, along)
    error = np.hypot(d0 * d0_error, along * dz_error / np.cosh(p["eta"])) / np.maximum(ip3d, 1e-9)
    known = detailed.astype(np.float64)
    return {
        "dxy_valid": known,
        "dxy": np.arcsinh(d0 / _LENGTH_UNIT_CM),
        "dxy_significance": np.arcsinh(d0 / d0_error),
        "ip3d_valid": known,
        "ip3d": np.arcsinh(ip3d / _LENGTH_UNIT_CM),
        "ip3d_significance": np.where(detailed, np.arcsinh(ip3d / np.maximum(error, 1e-6)), 0.0),
        "dz": np.arcsinh(dz / _LENGTH_UNIT_CM),
        "dz_significance_valid": known,
        "dz_significance": np.arcsinh(dz / dz_error),
        "lead_chi2": np.where(detailed, np.clip(p["trkChi2"], 0.0, 10.0), 0.0),
    }
