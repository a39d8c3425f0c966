"""What particles leave in the calorimeters: hadrons in both, photons and electrons in the inner one.

A particle goes on its helix to the inner face, where its energy is shared out: in the inner (electromagnetic)
calorimeter, which has one cell a tower, and in the channels of the hadron calorimeter around, deeper ones getting less.
Four hadrons in ten begin to shower in the inner one. Pile-up in it is that of the triggered crossing alone, as it is
fast. The numbers are of the right order, not the experiment's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sonic.workloads.hcal.geometry import ETA_EDGES, MAX_DEPTH, MAX_IETA, channels, depths, tower_of
from sonic.workloads.hcal.simulation import depth_share
from sonic.workloads.tracking.detector import BARREL

if TYPE_CHECKING:
    from sonic.workloads.simulation.pythia import Particles

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FACE_MM, _END_MM = 1290.0, 3170.0
"""Radius of the inner calorimeter's barrel, and where its ends are along the beam."""
_EARLY = 0.4
"""Of the hadrons: those that begin to shower in the inner calorimeter."""
_MIP_GEV, _MUON_GEV = 0.3, 2.0
_SPOTS = 8
_HADRON_WIDTH, _PHOTON_WIDTH = 0.04, 0.008
_HADRON_TERMS, _PHOTON_TERMS = (1.0, 0.05), (0.028, 0.003)
"""Relative resolution: stochastic term, with energies in GeV, and constant one."""
_NOISE_GEV, _READ_GEV = 0.1, 0.25
"""Of a cell of the inner calorimeter: noise, and what it must have to be read out."""
_DENSITY_GEV, _HIT_ET_GEV = 0.2, 0.4
"""Pile-up in it: transverse energy of a collision for each unit of eta times phi, and of a deposit."""
_PHIS = 72


class Deposits(NamedTuple):
    """Of one event's particles, in GeV.

    Attributes
    ----------
    hadronic : float array [15840]
        By channel of the hadron calorimeter.
    inner : float array [59, 73]
        By ieta, negative ones counted from the end, and iphi.
    """

    hadronic: Floats
    inner: Floats


def deposit(particles: Particles, random: np.random.Generator) -> Deposits:
    """Let the particles of one event leave their energy.

    Parameters
    ----------
    particles : Particles
        Neutrinos leave nothing, and neither do those that curl up on the way.
    random : Generator
    """
    hadrons, muons, eta, phi, energy = _arrivals(particles, random)
    early = (random.uniform(size=len(energy)) < _EARLY) & ~muons
    part = np.where(early, random.uniform(0.2, 0.8, len(energy)) * energy, np.minimum(_MIP_GEV, energy))
    inside = np.where(hadrons, part, energy)

    cells = np.zeros((2 * MAX_IETA + 1, _PHIS + 1))
    width = np.where(hadrons, _HADRON_WIDTH, _PHOTON_WIDTH)
    ieta, iphi, share = _spread(eta, phi, inside, width, random)
    np.add.at(cells, (ieta, iphi), share)

    ieta, iphi, share = _spread(eta, phi, energy - inside, np.full(len(eta), _HADRON_WIDTH), random)
    numbers, edges = _depths()
    depth = (random.uniform(size=len(ieta))[:, None] > edges[np.abs(ieta)]).sum(axis=1)
    hadronic = np.zeros(len(channels()))
    np.add.at(hadronic, numbers[ieta, iphi, depth], share)
    return Deposits(hadronic, cells)


def read_out(inner_gev: Floats, pileup: float, random: np.random.Generator) -> tuple[Ints, Ints, Floats]:
    """Add pile-up and noise in the inner calorimeter, and leave out cells with little in them.

    Parameters
    ----------
    inner_gev : float array [59, 73]
        As of :class:`Deposits`.
    pileup : float
        Mean number of collisions.
    random : Generator

    Returns
    -------
    ieta, iphi : int array [cells]
    energy_gev : float array [cells]
        0.25 GeV and more.
    """
    where = channels()
    _, first = np.unique(where.ieta * 100 + where.iphi, return_index=True)
    towers = where[first]
    hits = random.poisson(_DENSITY_GEV * towers.area / _HIT_ET_GEV * random.poisson(pileup))
    found = inner_gev[towers.ieta, towers.iphi] + random.standard_gamma(hits) * _HIT_ET_GEV * np.cosh(towers.eta)
    found += random.normal(0, _NOISE_GEV, len(found))
    read = found >= _READ_GEV
    return towers.ieta[read], towers.iphi[read], found[read]


def _arrivals(particles: Particles, random: np.random.Generator) -> tuple[Bools, Bools, Floats, Floats, Floats]:
    """Which are hadrons or muons, which muons, where they come in, and what is seen of their energy."""
    pt = np.maximum(particles.pt, 1e-6)
    reach_mm = np.minimum(_FACE_MM, _END_MM * pt / np.maximum(np.abs(particles.pz), 1e-6))
    sine = -0.5 * BARREL.bend_gev_per_mm * particles.charge / pt * reach_mm
    arrives = (np.abs(sine) < 1) & ~particles.invisible
    p = particles[arrives]
    code = np.abs(p.pdg_id)
    muons = code == 13
    hadrons = (code > 100) | muons
    stochastic, constant = (np.where(hadrons, *both) for both in zip(_HADRON_TERMS, _PHOTON_TERMS, strict=True))
    width = np.hypot(stochastic / np.sqrt(p.energy), constant)
    energy = p.energy * np.maximum(1 + random.normal(size=len(p)) * width, 0.0)
    energy[muons] = np.minimum(_MUON_GEV, p.energy[muons])
    return hadrons, muons, p.eta, p.phi + np.arcsin(sine[arrives]), energy


def _spread(
    eta: Floats, phi: Floats, energy: Floats, width: Floats, random: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """Break energies up into spots; returns towers and energies of those within the calorimeter."""
    some = np.flatnonzero(energy > 0)
    weight = random.standard_gamma(0.5, (len(some), _SPOTS)) + 1e-9
    weight /= weight.sum(axis=1, keepdims=True)
    at, share = np.repeat(some, _SPOTS), (energy[some, None] * weight).ravel()
    etas, phis = (each[at] + random.normal(size=len(at)) * width[at] for each in (eta, phi))
    inside = np.abs(etas) < ETA_EDGES[-1]
    return *tower_of(etas[inside], phis[inside]), share[inside]


@lru_cache(maxsize=1)
def _depths() -> tuple[Ints, Floats]:
    """Numbers of the channels by ieta, iphi and which of a tower's depths; summed shares of these by abs(ieta)."""
    where = channels()
    first = np.array([0, *(depths(ieta)[0] for ieta in range(1, MAX_IETA + 1))])
    which = where.depth - first[np.abs(where.ieta)]
    numbers = np.full((2 * MAX_IETA + 1, _PHIS + 1, MAX_DEPTH), -1)
    numbers[where.ieta, where.iphi, which] = np.arange(len(where))
    shares = np.zeros((MAX_IETA + 1, MAX_DEPTH))
    shares[np.abs(where.ieta), which] = depth_share(where)
    edges = np.cumsum(shares, axis=1)
    edges[edges > 1 - 1e-9] = np.inf  # of a tower's last depth, beyond which there is nothing
    return numbers, edges
