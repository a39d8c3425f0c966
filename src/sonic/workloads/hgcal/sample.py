"""Simulated events as a ROOT file, which the workflow reads: hits with their showers, and the particles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.workloads.eventfile import in_blocks, listed, one_by_one, write
from sonic.workloads.hgcal.hits import Hits
from sonic.workloads.hgcal.simulation import Beam, Event, event

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from sonic.workloads.progress import Progress

HITS = ("Hit_layer", "Hit_x", "Hit_y", "Hit_energy")
"""Of an event; x and y in cm, energies in what a minimum-ionising particle leaves."""
TRUTH = ("Hit_shower", "Hit_fraction", "Particle_kind", "Particle_energy", "Particle_x", "Particle_y")
"""Number of a hit's particle, -1 for noise, and its share; kinds, energies in GeV, places at the front face in cm."""


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    min_particles: int = Beam.min_particles,
    max_particles: int = Beam.max_particles,
    min_energy: float = Beam.min_energy_gev,
    max_energy: float = Beam.max_energy_gev,
    spread: float = Beam.spread_cm,
    noise: float = Beam.noise_hits,
) -> int:
    """Showers of photons, electrons and hadrons in a high-granularity endcap calorimeter.

    Parameters
    ----------
    file : path
    events, seed : int
        The same seed gives the same events. Training uses others than any seed but its own, 1: of that the event of
        number 4 is its first.
    progress : callable of (stage, done, total), optional
    min_particles, max_particles : int
        Of an event; about a hundred hits each.
    min_energy, max_energy : float
        Of a particle, GeV.
    spread : float
        Radius at the front face of the region that the particles of an event enter, cm.
    noise : float
        Hits of no particle, on average.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    ConfigError
        If a range is upside down.
    """
    beam = Beam(
        min_particles=min_particles,
        max_particles=max_particles,
        min_energy_gev=min_energy,
        max_energy_gev=max_energy,
        spread_cm=spread,
        noise_hits=noise,
    )

    return write_events(file, one_by_one(lambda random: event(beam, random), events, seed, progress))


def write_events(file: str | os.PathLike[str], events: Iterable[Event]) -> int:
    """Write events as a TTree ``Events``; returns how many."""
    return write(file, in_blocks(events, _columns))


def read_event(row: ak.Record) -> Event:
    """Make an event of a row of columns :data:`HITS` and :data:`TRUTH`; without the truth, all its hits are noise."""
    hits = Hits(*(np.asarray(row[name]) for name in HITS))
    if not set(TRUTH) <= set(row.fields):
        noise, none = np.full(len(hits.layer), -1), np.empty(0)
        return Event(hits, noise, np.zeros(len(noise)), noise[:0], none, np.empty((2, 0)))
    shower, fraction, kind, true_gev, x_cm, y_cm = (np.asarray(row[name]) for name in TRUTH)
    return Event(hits, shower, fraction, kind, true_gev, np.stack([x_cm, y_cm]))


def _columns(events: list[Event]) -> dict[str, ak.Array]:
    hits = {
        "layer": listed([each.hits.layer for each in events], np.int32),
        "x": listed([each.hits.x_cm for each in events], np.float64),
        "y": listed([each.hits.y_cm for each in events], np.float64),
        "energy": listed([each.hits.energy_mip for each in events], np.float64),
        "shower": listed([each.shower for each in events], np.int32),
        "fraction": listed([each.fraction for each in events], np.float64),
    }
    particles = {
        "kind": listed([each.kind for each in events], np.int32),
        "energy": listed([each.true_gev for each in events], np.float64),
        "x": listed([each.entry_cm[0] for each in events], np.float64),
        "y": listed([each.entry_cm[1] for each in events], np.float64),
    }
    return {"Hit": ak.zip(hits), "Particle": ak.zip(particles)}
