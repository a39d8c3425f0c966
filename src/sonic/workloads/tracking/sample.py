"""Simulated events as a ROOT file, which the workflows read: hits, and the particles of their truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.workloads.eventfile import in_blocks, listed, one_by_one, write
from sonic.workloads.tracking.simulation import Beam, event

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from sonic.workloads.progress import Progress
    from sonic.workloads.tracking.simulation import Event

PARTS = ("d0", "z0", "phi", "cotTheta", "qOverPt")
"""Of a track, in branches ``Particle_*`` for the truth."""
HITS = ("Hit_layer", "Hit_phi", "Hit_z")
OWNER = "Hit_particle"
TRUTH = tuple(f"Particle_{part}" for part in PARTS)


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    particles: int = 100,
    noise: float = Beam.noise,
    efficiency: float = Beam.efficiency,
    jets: int = 0,
) -> int:
    """Charged particles in a barrel of silicon layers.

    Parameters
    ----------
    file : path
    events, seed : int
        The same seed gives the same events; training uses others than any seed here.
    progress : callable of (stage, done, total), optional
    particles : int
        Of an event; each leaves ten hits.
    noise : float
        Hits of no particle, as a fraction of those of particles.
    efficiency : float
        Of a hit.
    jets : int
        Of an event, beside the particles: twelve in a narrow cone each.

    Returns
    -------
    int
        Events written.
    """
    beam = Beam(particles=particles, noise=noise, efficiency=efficiency, jets=jets)

    return write_events(file, one_by_one(lambda random: event(beam, random), events, seed, progress))


def write_events(file: str | os.PathLike[str], events: Iterable[Event]) -> int:
    """Write events as a TTree ``Events``; returns how many."""
    return write(file, in_blocks(events, _columns))


def _columns(events: list[Event]) -> dict[str, ak.Array]:
    hits = {
        "layer": listed([event.layer for event in events], np.int32),
        "phi": listed([event.phi for event in events], np.float64),
        "z": listed([event.z_mm for event in events], np.float64),
        "particle": listed([event.particle for event in events], np.int32),
    }
    particles = {part: listed([event.tracks[i] for event in events], np.float64) for i, part in enumerate(PARTS)}
    return {"Hit": ak.zip(hits), "Particle": ak.zip(particles)}
