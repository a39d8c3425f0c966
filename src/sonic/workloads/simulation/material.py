"""What the tracker's material does: photons convert, hadrons interact.

Both happen on cylinders at the radii of the tracker's layers, with the material spread evenly over those within
reach of the tracking. It is where most displaced tracks of light jets come from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.simulation.pythia import PION_MASS_GEV, concatenate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.simulation.pythia import Particles

# Beam pipe, pixel layers and inner strip layers of the CMS tracker (2017 and later).
LAYER_RADII_CM = np.array([2.2, 2.9, 6.8, 10.9, 16.0, 25.0, 34.0, 43.0, 50.0])

_REACH_ETA = 3.0
_ELECTRON_MASS_GEV = 0.000511
_KICK_GEV = 0.25
"""Of each component of the momentum of what an interaction gives: standard deviation."""


def radiation_lengths(eta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Material in front of the calorimeter in radiation lengths: 0.45 at the centre, 1.7 at most."""
    return np.minimum(0.45 + 0.45 * np.abs(eta) ** 1.6, 1.7)


def interact(particles: Particles, rng: np.random.Generator) -> Particles:
    """Return the particles after conversions and nuclear interactions, which replace them by their products.

    A photon converts to an electron pair with probability 1 - exp(-7/9 X/X0). A hadron interacts with probability
    1 - exp(-X/X0 / 6) and gives two to four pions.
    """
    eta, code = particles.eta, np.abs(particles.pdg_id)
    material = radiation_lengths(eta) * (np.abs(eta) < _REACH_ETA)
    prompt = particles.vx**2 + particles.vy**2 < LAYER_RADII_CM[0] ** 2
    photon = code == 22
    hadron = code > 100
    chance = np.select([photon, hadron], [1.0 - np.exp(-7 / 9 * material), 1.0 - np.exp(-material / 6)], 0.0)
    # Soft hadrons stop or curl up rather than make tracks.
    happens = (rng.random(len(particles)) < chance) & prompt & (photon | (particles.energy > 0.7))
    if not happens.any():
        return particles
    converted, struck = particles[happens & photon], particles[happens & hadron]
    return concatenate(
        [
            particles[~happens],
            _products(converted, np.full(len(converted), 2), rng, pair=True),
            _products(struck, rng.integers(2, 5, len(struck)), rng, pair=False),
        ]
    )


def _products(p: Particles, numbers: NDArray[np.int64], rng: np.random.Generator, *, pair: bool) -> Particles:
    """Split particles at a layer: each into `numbers` that share its momentum at random."""
    radius = rng.choice(LAYER_RADII_CM, len(p))
    direction = p.phi
    vz = p.vz + radius * p.pz / np.maximum(p.pt, 1e-9)
    mother = np.repeat(np.arange(len(p)), numbers)
    share = rng.exponential(1.0, len(mother)) + 0.02
    share /= np.bincount(mother, share, len(p))[mother]
    born = replace(p, vx=p.vx + radius * np.cos(direction), vy=p.vy + radius * np.sin(direction), vz=vz)[mother]
    if pair:
        first = np.arange(len(mother)) % 2 == 0
        charge = np.where(first, 1, -1)
        pdg_id, mass, kick = -11 * charge, _ELECTRON_MASS_GEV, 0.0
    else:
        charge = rng.choice(np.array([-1, 0, 1]), len(mother))
        # A neutral pion's photons are taken as one.
        pdg_id = np.where(charge == 0, 22, 211 * charge)
        mass, kick = PION_MASS_GEV, _KICK_GEV
    px, py, pz = (c * share + rng.normal(0.0, 1.0, len(mother)) * kick for c in (born.px, born.py, born.pz))
    return replace(
        born,
        pdg_id=pdg_id.astype(np.int32),
        charge=charge.astype(np.int32),
        px=px,
        py=py,
        pz=pz,
        energy=np.sqrt(px**2 + py**2 + pz**2 + mass**2),
    )
