"""A simple detector in the likeness of CMS: from particles to particle-flow candidates.

Sizes are CMS's published ones (tracker: arXiv:1405.6569, calorimeters: JINST 3 (2008) S08004, particle flow:
arXiv:1706.04965), rounded, with those that no paper gives in this form read off simulated CMS events. In short, with
energies and momenta in GeV:

- tracks up to 3 in pseudorapidity, of momentum resolution 1 % (+) 0.015 % pT; impact parameters 10 um (+) 65 um
  pT^-0.75 across the beam and 20 um (+) 70 um pT^-0.75 along it, growing with pseudorapidity, worse with lost hits and
  for particles made behind the first layers; one track in twenty-five worse than it knows;
- photons 2.8 % / sqrt(E) (+) 0.12 / E (+) 0.3 %; hadrons 110 % / sqrt(E) (+) 9 %; beyond 3 in pseudorapidity hadrons
  198 % / sqrt(E) (+) 9 % and photons 280 % / sqrt(E) (+) 11 %;
- deposits add up in cells; a neutral hadron is what stands out over the resolution once the momenta of tracks are
  subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.simulation.pythia import PION_MASS_GEV

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.simulation.pythia import Particles

FIELD_T = 3.8
VERTEX_EFFICIENCY = 0.85
TRACKER_ETA = 3.0
CALORIMETER_ETA = 3.0
FORWARD_ETA = 5.2
_MUON_MASS_GEV = 0.10566

# Below this the file format keeps no details of a track.
DETAILS_MIN_PT_GEV = 0.5
NO_DETAILS = -1.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Particle-flow candidates of many events, flat, ordered by event; columns as in PFNano's ``PFCands``.

    Attributes
    ----------
    event : int64 [n]
    pt, eta, phi, mass : float64 [n]
        GeV.
    charge, pdg_id : int32 [n]
        Kinds: 211 charged hadron, 11, 13, 22 photon, 130 neutral hadron, 1 and 2 forward hadronic and electromagnetic.
    d0, dz, d0_error, dz_error : float64 [n]
        Impact parameters to the hard collision and their uncertainties, cm; -1 where there are no track details.
    chi2, quality : int32 [n]
        Of the track; -1 and 0 where there are no details.
    lost_inner_hits : int32 [n]
        Of a track, with details or without: -1 with a hit in the first layer, else how many it lacks, 2 for more; -1
        without a track.
    association : int32 [n]
        How sure the assignment to a vertex is: 7 used in its fit, 5 close to it, 1 just the closest.
    primary : bool [n]
        Charged, and assigned to the hard collision's vertex.
    source : int64 [n]
        Index of the particle a track belongs to; -1 for calorimeter clusters.
    """

    event: NDArray[np.int64]
    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    mass: NDArray[np.float64]
    charge: NDArray[np.int32]
    pdg_id: NDArray[np.int32]
    d0: NDArray[np.float64]
    dz: NDArray[np.float64]
    d0_error: NDArray[np.float64]
    dz_error: NDArray[np.float64]
    chi2: NDArray[np.int32]
    quality: NDArray[np.int32]
    lost_inner_hits: NDArray[np.int32]
    association: NDArray[np.int32]
    primary: NDArray[np.bool_]
    source: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, index: Any) -> Candidates:
        return Candidates(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def detailed(self) -> NDArray[np.bool_]:
        """Whether the track's details are known."""
        return self.quality > 0


def detect(particles: Particles, rng: np.random.Generator) -> Candidates:
    """Return the candidates that the detector sees of the particles, hardest first within each event."""
    visible = np.flatnonzero(~particles.invisible & (np.abs(particles.eta) < FORWARD_ETA + 0.1))
    particles = particles[visible]
    tracks, tracked = _tracks(particles, rng)
    clusters = _calorimeter(particles, tracked, rng)
    joined = _concatenate([replace(tracks, source=visible[tracks.source]), clusters])
    return joined[np.lexsort((-joined.pt, joined.event))]


def impact(particles: Particles) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Transverse and longitudinal impact parameter (cm) to the origin, and the azimuth there, on a helix.

    The sign is CMS's: d0 = -x sin(phi) + y cos(phi) at the point of closest approach.
    """
    pt, phi, charge = particles.pt, particles.phi, particles.charge.astype(float)
    radius = pt / (0.003 * FIELD_T)
    cx = particles.vx + charge * radius * np.sin(phi)
    cy = particles.vy - charge * radius * np.cos(phi)
    distance = np.hypot(cx, cy)
    d0 = charge * (radius - distance)
    phi0 = np.arctan2(charge * cx, -charge * cy)
    path = -charge * radius * wrap(phi - phi0)
    return d0, particles.vz - path * particles.pz / pt, phi0


def _gauss(rng: np.random.Generator, sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    return rng.standard_normal(len(sigma)) * sigma


def track_efficiency(pt: NDArray[np.float64], eta: NDArray[np.float64], radius: NDArray[np.float64]) -> Any:
    """Probability that a charged particle gives a track; `radius` is where it was produced, cm."""
    turn_on = 0.93 * (1.0 - np.exp(-((np.maximum(pt - 0.1, 0.0) / 0.2) ** 1.5)))
    edge = np.clip((TRACKER_ETA - np.abs(eta)) / 0.5, 0.0, 1.0)
    late = np.exp(-radius / 12.0)
    return turn_on * edge * late


def _tracks(particles: Particles, rng: np.random.Generator) -> tuple[Candidates, NDArray[np.bool_]]:
    """Tracks, and which particles gave one."""
    radius = np.hypot(particles.vx, particles.vy)
    chance = track_efficiency(particles.pt, particles.eta, radius) * (particles.charge != 0)
    # Electrons from conversions bend and radiate: few leave a track.
    chance *= np.where((np.abs(particles.pdg_id) == 11) & (radius > 2.0), 0.3, 1.0)
    tracked = rng.random(len(particles)) < chance
    source = np.flatnonzero(tracked)
    p = particles[tracked]
    n = len(p)
    radius = radius[tracked]
    true_d0, true_dz, phi0 = impact(p)
    eta2 = p.eta**2

    # Hits lost in the first layers: some at random, all where the particle was produced behind them.
    draw = rng.random(n)
    lost = np.select([draw < 0.84, draw < 0.93, draw < 0.965], [-1, 0, 1], 2)
    lost = np.where(radius > 2.9, np.maximum(lost, (radius > 6.8).astype(int) + (radius > 10.9)), lost)
    worse = rng.lognormal(0.0, 0.2, n) * np.where(lost > 0, 2.5, 1.0) * (1.0 + (radius / 4.0) ** 2)
    scattering = p.pt**-0.75
    d0_error = 1e-4 * np.hypot(10.0, 65.0 * scattering * (1 + 0.16 * eta2)) * worse
    dz_error = 1e-4 * np.hypot(20.0, 70.0 * scattering * (1 + 0.10 * eta2)) * worse
    # One track in twenty-five has a wrong hit: its impact parameters scatter more than it knows.
    outlier = np.where(rng.random(n) < 0.04, rng.lognormal(1.6, 0.7, n), 1.0)
    d0 = true_d0 + _gauss(rng, d0_error * outlier)
    dz = true_dz + _gauss(rng, dz_error * outlier)
    pt = np.maximum(p.pt * (1.0 + _gauss(rng, np.hypot(0.01, 1.5e-4 * p.pt))), 0.1)
    angle = np.hypot(3e-4, 1e-3 / p.pt)
    strain = np.where(outlier > 1, 4.0, 1.0) * np.where(radius > 2.9, 2.0, 1.0)
    chi2 = np.floor(rng.chisquare(12, n) / 12 * strain + 0.1).astype(np.int32)

    primary, association = _vertices(p, d0, dz, d0_error, rng)
    detailed = pt > DETAILS_MIN_PT_GEV
    code = np.abs(p.pdg_id)
    muon = (code == 13) & (pt > 3.0) & (np.abs(p.eta) < 2.4)
    electron = (code == 11) & (pt > 3.0) & (np.abs(p.eta) < 2.5)
    kind = np.select([muon, electron], [13, 11], -211)

    def details(values: NDArray[Any], otherwise: float) -> NDArray[Any]:
        return np.where(detailed, values, otherwise).astype(values.dtype)

    tracks = Candidates(
        event=p.event,
        pt=pt,
        eta=p.eta + _gauss(rng, angle),
        phi=wrap(phi0 + _gauss(rng, angle)),
        mass=np.select([muon, electron], [_MUON_MASS_GEV, 0.0], PION_MASS_GEV),
        charge=p.charge,
        pdg_id=(-kind * p.charge).astype(np.int32),
        d0=details(d0, NO_DETAILS),
        dz=details(dz, NO_DETAILS),
        d0_error=details(d0_error, NO_DETAILS),
        dz_error=details(dz_error, NO_DETAILS),
        chi2=details(chi2, -1),
        quality=np.where(detailed, 5, 0).astype(np.int32),
        lost_inner_hits=lost.astype(np.int32),
        association=association,
        primary=primary,
        source=source,
    )
    return tracks, tracked


def _vertices(
    p: Particles,
    d0: NDArray[np.float64],
    dz: NDArray[np.float64],
    d0_error: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Assign tracks to the hard collision's vertex or another: by its own collision if that has a vertex.

    A pile-up collision has a vertex of its own with some efficiency if it is more than 0.5 mm away from the hard
    one, and is merged with that otherwise. Displaced tracks, and those of a collision without a vertex, go to
    the closest.
    Codes: 7 and 6 used in the vertex's fit, 5 close to it, 1 and 0 just the closest.
    """
    collisions = int(p.collision.max(initial=0)) + 1
    number = p.event * collisions + p.collision
    position = np.zeros(int(number.max(initial=0)) + 1)
    inwards = np.argsort(-np.hypot(p.vx, p.vy), kind="stable")
    position[number[inwards]] = p.vz[inwards]  # of the particle that was made nearest to the beam
    found = (rng.random(len(position)) < VERTEX_EFFICIENCY)[number] & (np.abs(position[number]) > 0.05)
    prompt = (np.abs(d0) < 5 * d0_error) & (p.vx**2 + p.vy**2 < 0.01)
    own = (p.collision == 0) | (np.abs(position[number]) <= 0.05)
    lost = ~prompt | ~(own | found)
    near = np.abs(dz) < np.where(lost, 0.3, np.inf)
    primary = np.where(lost, near & (own | (rng.random(len(p)) < 0.5)), own)
    draw = rng.random(len(p))
    fitted = np.select([draw < 0.82, draw < 0.90], [7, 6], 5)
    association = np.where(lost, np.select([draw < 0.1, draw < 0.7], [0, 1], 5), fitted)
    return primary, association.astype(np.int32)


def _calorimeter(particles: Particles, tracked: NDArray[np.bool_], rng: np.random.Generator) -> Candidates:
    eta = np.abs(particles.eta)
    code = np.abs(particles.pdg_id)
    central = eta < CALORIMETER_ETA
    muon = code == 13
    light = np.isin(code, (11, 22))
    reaches = (particles.charge == 0) | (particles.pt > 0.8)
    photons = particles[central & light & ~tracked & reaches]
    hadron = central & ~light & ~muon & reaches
    forward = (eta >= CALORIMETER_ETA) & (eta < FORWARD_ETA) & ~muon
    return _concatenate(
        [
            _photons(photons, rng),
            _neutral_hadrons(particles[hadron], tracked[hadron], rng),
            _forward(particles[forward], light[forward], rng),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Energy sums in cells of eta and phi."""

    event: NDArray[np.int64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    energy: NDArray[np.float64]
    inverse: NDArray[np.int64]

    @classmethod
    def of(cls, p: Particles, size: float | NDArray[np.float64]) -> _Cells:
        """Gather particles by event into square cells; each stands at its particles' mean, weighted by energy."""
        rows, columns = np.floor(p.eta / size).astype(np.int64), np.floor(p.phi / size).astype(np.int64)
        large = np.broadcast_to(size > np.min(size, initial=np.inf), rows.shape).astype(np.int64)
        key = (p.event << 25) + (large << 24) + ((rows + 2048) << 12) + columns + 2048
        unique, inverse = np.unique(key, return_inverse=True)
        energy: NDArray[np.float64] = np.bincount(inverse, p.energy, len(unique)).astype(np.float64)

        def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(inverse, values * p.energy, len(unique)) / np.maximum(energy, 1e-9)

        return cls(unique >> 25, mean(p.eta), mean(p.phi), energy, inverse)


def _photons(p: Particles, rng: np.random.Generator) -> Candidates:
    cells = _Cells.of(p, 0.035)
    energy = cells.energy
    sigma = np.sqrt((0.028**2) * energy + 0.12**2 + (0.003 * energy) ** 2)
    seen = energy + _gauss(rng, sigma)
    endcap = np.abs(cells.eta) > 1.48
    # Soft photons are often taken for part of a charged hadron's shower.
    overlap = np.where(endcap, 0.65, 0.42) * np.exp(-np.maximum(seen, 0.0) / np.where(endcap, 8.0, 3.0))
    keep = (seen > np.where(endcap, 1.4, 0.25)) & (rng.random(len(seen)) > overlap)
    return _neutral(cells, seen, keep, 22)


def _neutral_hadrons(p: Particles, tracked: NDArray[np.bool_], rng: np.random.Generator) -> Candidates:
    cells = _Cells.of(p, np.where(np.abs(p.eta) < 1.74, 0.13, 0.17))
    with_track = np.bincount(cells.inverse, p.energy * tracked, len(cells.energy))
    sigma = np.sqrt(1.1**2 * cells.energy + (0.09 * cells.energy) ** 2)
    excess = cells.energy + _gauss(rng, sigma) - with_track
    expected = np.sqrt(1.1**2 * with_track + (0.09 * with_track) ** 2)
    keep = excess > np.maximum(np.where(np.abs(cells.eta) < 1.5, 0.8, 2.4), 1.8 * expected)
    return _neutral(cells, excess, keep, 130)


def _forward(p: Particles, light: NDArray[np.bool_], rng: np.random.Generator) -> Candidates:
    parts = []
    for kind, members, response, stochastic, constant in (
        (1, ~light, 0.95, 1.98, 0.09),
        (2, light, 0.75, 2.8, 0.11),
    ):
        cells = _Cells.of(p[members], 0.175)
        energy = response * cells.energy
        seen = energy + _gauss(rng, np.hypot(stochastic * np.sqrt(energy), constant * energy))
        parts.append(_neutral(cells, seen, seen > 3.0, kind))
    return _concatenate(parts)


def _neutral(cells: _Cells, energy: NDArray[np.float64], keep: NDArray[np.bool_], pdg_id: int) -> Candidates:
    event, eta, phi, energy = cells.event[keep], cells.eta[keep], cells.phi[keep], energy[keep]
    n = len(event)

    def fill(value: float, dtype: type) -> NDArray[Any]:
        return np.full(n, value, dtype)

    none = fill(NO_DETAILS, np.float64)
    return Candidates(
        event=event,
        pt=energy / np.cosh(eta),
        eta=eta,
        phi=phi,
        mass=np.zeros(n),
        charge=fill(0, np.int32),
        pdg_id=fill(pdg_id, np.int32),
        d0=none,
        dz=none,
        d0_error=none,
        dz_error=none,
        chi2=fill(-1, np.int32),
        quality=fill(0, np.int32),
        lost_inner_hits=fill(-1, np.int32),
        association=fill(7, np.int32),
        primary=fill(False, np.bool_),
        source=fill(-1, np.int64),
    )


def _concatenate(parts: list[Candidates]) -> Candidates:
    return Candidates(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Candidates)))
