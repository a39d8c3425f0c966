"""Tau candidates: narrow jets of one to three charged hadrons and photons.

A simple reading of CMS's hadrons-plus-strips algorithm (arXiv:1809.02816). PFNano keeps taus only where they pass
identification, which is what the network is for; so candidates are made here, from jets, in real files and simulated
ones alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.features.flat import fields, flat
from sonic.workloads.features.jets import pairs

if TYPE_CHECKING:
    import awkward as ak
    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Flat, Floats, Ints

    Bools = NDArray[np.bool_]

CANDIDATE_BRANCHES: tuple[str, ...] = (
    "Jet_pt",
    "Jet_eta",
    "JetPFCands_jetIdx",
    "JetPFCands_pFCandsIdx",
    *(f"PFCands_{name}" for name in ("pt", "eta", "phi", "mass", "charge", "pdgId", "trkQuality", "dz")),
)
"""Branches that :func:`tau_candidates` reads."""

MIN_JET_PT_GEV = 14.0
MIN_PT_GEV = 18.0
MAX_ETA = 2.3
_MIN_CANDIDATE_PT_GEV = 0.5
_MAX_DZ_CM = 0.4
_MAX_PRONGS = 3
_STRIP_ETA, _STRIP_PHI, _MIN_STRIP_PT_GEV = 0.05, 0.2, 2.5


class TauCandidates(NamedTuple):
    """Tau candidates of events, flat, ordered by event and within by jet.

    Attributes
    ----------
    counts : int64 [events]
    pt, eta, phi, mass : float64 [taus]
        GeV.
    charge : int64 [taus]
    prongs, strips : int64 [taus]
        Charged hadrons, 1 to 3, and whether there are photons, 0 or 1.
    jet, lead : int64 [taus]
        The jet it is made of, and the hardest charged hadron among the particle-flow candidates, in the event.
    cone : float64 [taus]
        Radius of the signal cone around the hardest charged hadron.
    """

    counts: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    charge: Ints
    prongs: Ints
    strips: Ints
    jet: Ints
    lead: Ints
    cone: Floats


def is_charged_hadron(p: dict[str, Floats]) -> Bools:
    """Which particles can be a prong: charged hadrons whose track, if it is known, comes from the primary vertex."""
    near = (p["trkQuality"] <= 0) | (np.abs(p["dz"]) < _MAX_DZ_CM)
    found: Bools = near & (np.abs(p["pdgId"]) == 211) & (p["pt"] > _MIN_CANDIDATE_PT_GEV)
    return found


def is_electromagnetic(p: dict[str, Floats]) -> Bools:
    """Which particles can be of a neutral pion: photons and electrons."""
    found: Bools = np.isin(np.abs(p["pdgId"]), (11, 22)) & (p["pt"] > _MIN_CANDIDATE_PT_GEV)
    return found


def tau_candidates(events: ak.Array) -> TauCandidates:
    """Make the tau candidates of events.

    Parameters
    ----------
    events : ak.Array
        With :data:`CANDIDATE_BRANCHES`.

    Returns
    -------
    TauCandidates
        At most one of each jet above 14 GeV: the hardest charged hadron, up to two more within the signal cone of
        3 GeV / pT (0.05 to 0.1), and the photons and electrons in a strip of 0.05 x 0.2 around it if they have 2.5 GeV
        together. Candidates have 18 GeV and lie within 2.3 in pseudorapidity.
    """
    jets = flat(events, "Jet", ("pt", "eta"))
    particles = flat(events, "PFCands", fields(CANDIDATE_BRANCHES, "PFCands"))
    link = flat(events, "JetPFCands", ("jetIdx", "pFCandsIdx"))
    seeds = (jets.columns["pt"] > MIN_JET_PT_GEV) & (np.abs(jets.columns["eta"]) < MAX_ETA + 0.2)
    of, which = pairs(link, jets, particles, seeds)
    p = particles.take(which)

    hadron = is_charged_hadron(p)
    order = np.lexsort((-p["pt"], of))
    order = order[hadron[order]]
    with_lead, first = np.unique(of[order], return_index=True)
    # Of each jet with a charged hadron: the hardest, as a row of the pairs; a row for every pair, -1 without.
    lead = np.full(len(jets.columns["pt"]), -1)
    lead[with_lead] = order[first]
    mine = lead[of]
    d_eta, d_phi = p["eta"] - p["eta"][mine], wrap(p["phi"] - p["phi"][mine])
    cone = np.clip(3.0 / np.maximum(jets.columns["pt"], 1.0), 0.05, 0.1)
    in_cone = (mine >= 0) & (np.hypot(d_eta, d_phi) < cone[of])
    in_strip = (mine >= 0) & (np.abs(d_eta) < _STRIP_ETA) & (np.abs(d_phi) < _STRIP_PHI)

    prong = _hardest(hadron & in_cone, of, p["pt"], _MAX_PRONGS)
    photon = is_electromagnetic(p) & in_strip
    size = len(jets.columns["pt"])
    strip_pt = np.bincount(of[photon], p["pt"][photon], size)
    photon &= strip_pt[of] > _MIN_STRIP_PT_GEV

    member = prong | photon
    px, py, pz, energy = (np.bincount(of[member], part[member], size) for part in _momenta(p))
    pt = np.hypot(px, py)
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(pz / pt)
    charge = np.bincount(of[prong], np.sign(p["charge"][prong]), size)
    good = (lead >= 0) & (pt > MIN_PT_GEV) & (np.abs(eta) < MAX_ETA)
    chosen = np.flatnonzero(good)
    event = jets.event[chosen]
    return TauCandidates(
        counts=np.bincount(event, minlength=len(jets.counts)),
        pt=pt[chosen],
        eta=eta[chosen],
        phi=np.arctan2(py, px)[chosen],
        mass=np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))[chosen],
        charge=charge[chosen].astype(np.int64),
        prongs=np.bincount(of[prong], minlength=size)[chosen],
        strips=(strip_pt > _MIN_STRIP_PT_GEV)[chosen].astype(np.int64),
        jet=chosen - jets.first[event],
        lead=which[lead[chosen]] - particles.first[event],
        cone=cone[chosen],
    )


def _hardest(wanted: Bools, of: Ints, pt: Floats, most: int) -> Bools:
    """Which of the wanted are among the hardest of their group."""
    order = np.lexsort((-pt, of))
    order = order[wanted[order]]
    counts = np.bincount(of[order], minlength=int(of.max(initial=-1)) + 1)
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[of[order]]
    found = np.zeros(len(of), bool)
    found[order[rank < most]] = True
    return found


def _momenta(p: dict[str, Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    """Components and energies; of particles that are not finite, 0."""
    pz = p["pt"] * np.sinh(p["eta"])
    energy = np.sqrt((p["pt"] * np.cosh(p["eta"])) ** 2 + p["mass"] ** 2)
    parts = np.stack((p["pt"] * np.cos(p["phi"]), p["pt"] * np.sin(p["phi"]), pz, energy))
    x, y, z, e = np.where(np.isfinite(parts).all(axis=0), parts, 0.0)
    return x, y, z, e


def around(taus: TauCandidates, particles: Flat, reach: float) -> tuple[Ints, Ints, Floats, Floats]:
    """Pairs of a tau and a particle of its event that is near it.

    Parameters
    ----------
    taus : TauCandidates
    particles : Flat
        With ``eta`` and ``phi``.
    reach : float
        Greatest distance in pseudorapidity, and in azimuth.

    Returns
    -------
    tau, particle : int64 [pairs]
        Flat indices, ordered by tau.
    d_eta, d_phi : float64 [pairs]
        From the tau to the particle.
    """
    event = np.repeat(np.arange(len(taus.counts)), taus.counts)
    number = particles.counts[event]
    tau = np.repeat(np.arange(len(event)), number)
    within = np.arange(len(tau)) - np.repeat(np.cumsum(number) - number, number)
    particle = particles.first[event][tau] + within
    d_eta = particles.columns["eta"][particle] - taus.eta[tau]
    d_phi = wrap(particles.columns["phi"][particle] - taus.phi[tau])
    near = (np.abs(d_eta) < reach) & (np.abs(d_phi) < reach)
    return tau[near], particle[near], d_eta[near], d_phi[near]
