"""Events in the barrel: particles that scatter on their way, hits with noise, and the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sonic.errors import ConfigError
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import COT, QPT, cross, perigee

if TYPE_CHECKING:
    from sonic.workloads.tracking.detector import Barrel, Floats

Ints = NDArray[np.int64]

_CORE_PT_GEV = (5.0, 100.0)
_ACROSS_GEV = 0.35
"""Of a particle in a jet: each component of its momentum across the axis."""


@dataclass(frozen=True)
class Beam:
    """What is simulated.

    Parameters
    ----------
    particles : int
        Of an event.
    min_pt_gev, max_pt_gev : float
    pt_power : float
        Of the spectrum: dN/dpT falls with it.
    max_eta : float
    vertex_sigma_mm : float
        Of the collisions along the beam; across it they are on the axis.
    displaced : float
        Fraction of particles from decays.
    decay_mm : float
        Mean transverse distance of these, before it is cut at the innermost layer.
    efficiency : float
        Of a hit.
    noise : float
        Hits of no particle, as a fraction of those of particles, the same number on every layer.
    scattering : bool
    jets : int
        Of an event, beside the particles: cones as narrow as those of jets of some hundred GeV. Hits never merge.
    jet_particles : int
        Of each.

    Raises
    ------
    ConfigError
        If a number makes no sense.
    """

    particles: int = 100
    min_pt_gev: float = 0.7
    max_pt_gev: float = 50.0
    pt_power: float = 2.5
    max_eta: float = 1.4
    vertex_sigma_mm: float = 45.0
    displaced: float = 0.1
    decay_mm: float = 3.0
    efficiency: float = 0.98
    noise: float = 0.05
    scattering: bool = True
    jets: int = 0
    jet_particles: int = 12

    def __post_init__(self) -> None:
        if min(self.particles, self.jets, self.jet_particles) < 0 or not 0 <= self.noise < math.inf:
            raise ConfigError(f"particles, jets, their particles and noise are 0 or more, given {self}")
        if not 0 <= self.efficiency <= 1:
            raise ConfigError(f"efficiency lies in [0, 1], given {self.efficiency}")
        if not 0 < self.min_pt_gev <= self.max_pt_gev < math.inf or not 1 < self.pt_power < math.inf:
            raise ConfigError(f"momenta have 0 < min_pt_gev <= max_pt_gev and pt_power > 1, given {self}")
        widths = (self.max_eta, self.vertex_sigma_mm, self.decay_mm)
        if not (all(0 <= width < math.inf for width in widths) and 0 <= self.displaced <= 1):
            raise ConfigError(f"max_eta, vertex_sigma_mm and decay_mm are 0 or more, displaced in [0, 1], given {self}")


@dataclass(frozen=True)
class Event:
    """Hits in any order, and what caused them.

    Parameters
    ----------
    layer : int array [hits]
    phi, z_mm : float array [hits]
        As measured.
    particle : int array [hits]
        -1: noise.
    tracks : float array [5, particles]
        True parameters at the perigee, before any scattering.
    """

    layer: Ints
    phi: Floats
    z_mm: Floats
    particle: Ints
    tracks: Floats

    def __len__(self) -> int:
        return len(self.layer)


def events(number: int, beam: Beam | None = None, *, seed: int) -> list[Event]:
    """Simulate events; the same seed gives the same ones.

    Parameters
    ----------
    number : int
    beam : Beam, optional
    seed : int
    """
    return [event(beam or Beam(), np.random.default_rng((seed, i))) for i in range(number)]


def event(beam: Beam, random: np.random.Generator, barrel: Barrel = BARREL, tracks: Floats | None = None) -> Event:
    """Simulate one event.

    Parameters
    ----------
    beam : Beam
    random : Generator
    barrel : Barrel
    tracks : float array [5, particles], optional
        Particles by their perigees, as a generator has them; else they are drawn.
    """
    if tracks is None:
        tracks = particles(beam, beam.particles, random, barrel)
        if beam.jets:
            tracks = np.concatenate([tracks, cores(beam, random)], axis=1)
    hits = pass_through(tracks, beam, random, barrel)
    particle, layer = np.nonzero(np.isfinite(hits[..., 0]))
    phi, z_mm = hits[particle, layer].T
    noise = random.poisson(beam.noise * len(particle))
    at = random.integers(len(barrel), size=noise)
    reach = np.minimum(barrel.half_length_mm, np.asarray(barrel.radii_mm) * np.sinh(beam.max_eta))
    layer = np.concatenate([layer, at])
    phi = np.concatenate([phi, random.uniform(-np.pi, np.pi, noise)])
    z_mm = np.concatenate([z_mm, random.uniform(-1, 1, noise) * reach[at]])
    particle = np.concatenate([particle, np.full(noise, -1)])
    order = random.permutation(len(layer))
    return Event(layer[order], phi[order], z_mm[order], particle[order], tracks)


def particles(beam: Beam, number: int, random: np.random.Generator, barrel: Barrel = BARREL) -> Floats:
    """Draw particles; float array [5, number] of their perigees."""
    low, high = (edge ** (1 - beam.pt_power) for edge in (beam.min_pt_gev, beam.max_pt_gev))
    pt = (low + random.uniform(size=number) * (high - low)) ** (1 / (1 - beam.pt_power))
    charge = random.choice([-1.0, 1.0], size=number)
    psi = random.uniform(-np.pi, np.pi, number)
    cot = np.sinh(random.uniform(-beam.max_eta, beam.max_eta, number))
    z_mm = np.full(number, random.normal(0, beam.vertex_sigma_mm))
    distance = random.exponential(beam.decay_mm, number) * (random.uniform(size=number) < beam.displaced)
    distance = np.minimum(distance, 0.9 * barrel.radii_mm[0])
    flight = psi + random.normal(0, 0.3, number)  # of what decayed
    return perigee(distance, wrap(flight), z_mm + distance * cot, psi, cot, charge / pt, barrel)


def cores(beam: Beam, random: np.random.Generator) -> Floats:
    """Draw the particles in the cores of jets: about an axis each, with 0.35 GeV across it; float array [5, number]."""
    number = beam.jets * beam.jet_particles
    low, high = 1 / _CORE_PT_GEV[0], 1 / _CORE_PT_GEV[1]
    pt = 1 / (low + random.uniform(size=number) * (high - low))
    spread = _ACROSS_GEV / pt
    axes = random.uniform([-np.pi, -0.9 * beam.max_eta], [np.pi, 0.9 * beam.max_eta], (beam.jets, 2))
    psi, eta = np.repeat(axes, beam.jet_particles, axis=0).T + random.normal(size=(2, number)) * spread
    vertices_mm = random.normal(0, beam.vertex_sigma_mm, beam.jets)
    z_mm = np.repeat(vertices_mm, beam.jet_particles)
    charge = random.choice([-1.0, 1.0], size=number)
    return np.stack(
        [np.zeros(number), z_mm, wrap(psi), np.sinh(np.clip(eta, -beam.max_eta, beam.max_eta)), charge / pt]
    )


def pass_through(tracks: Floats, beam: Beam, random: np.random.Generator, barrel: Barrel = BARREL) -> Floats:
    """Let particles pass through the layers.

    Parameters
    ----------
    tracks : float array [5, particles]

    Returns
    -------
    float array [particles, layers, 2]
        phi and z in mm as measured; NaN where there is no hit.
    """
    number = tracks.shape[1]
    hits = np.full((number, len(barrel), 2), np.nan)
    alive = np.ones(number, bool)
    for layer, radius_mm in enumerate(barrel.radii_mm):
        at = cross(tracks, radius_mm, barrel)
        alive &= at.reached & (np.abs(at.z_mm) < barrel.half_length_mm)
        seen = alive & (random.uniform(size=number) < beam.efficiency)
        phi = wrap(at.phi + random.normal(0, barrel.rphi_resolution_mm[layer] / radius_mm, number))
        z_mm = at.z_mm + random.normal(0, barrel.z_resolution_mm[layer], number)
        hits[seen, layer, 0], hits[seen, layer, 1] = phi[seen], z_mm[seen]
        if beam.scattering:
            cot = tracks[COT]
            angle = barrel.scattering(layer, cot, tracks[QPT], at.cos_beta)
            stretch = np.sqrt(1 + cot**2)  # 1 / sin theta
            kicked = 1 / np.tan(np.arctan2(1, cot) + random.normal(0, 1, number) * angle)
            psi = at.psi + random.normal(0, 1, number) * angle * stretch
            qpt = tracks[QPT] / stretch * np.sqrt(1 + kicked**2)
            radius = np.full(number, radius_mm)
            tracks = perigee(radius, at.phi, at.z_mm, psi, kicked, qpt, barrel)
    return hits
