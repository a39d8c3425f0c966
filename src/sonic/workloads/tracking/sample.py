"""Simulated events as a ROOT file, which the workflows read: hits, and the particles of their truth."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

from sonic.workloads.tracking.simulation import Beam, event

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from sonic.workloads.progress import Progress
    from sonic.workloads.tracking.simulation import Event

PARTS = ("d0", "z0", "phi", "cotTheta", "qOverPt")
"""Of a track, in branches ``Particle_*`` for the truth."""
HITS = ("Hit_layer", "Hit_phi", "Hit_z")
OWNER = "Hit_particle"
TRUTH = tuple(f"Particle_{part}" for part in PARTS)
_BLOCK_EVENTS = 100


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

    def made() -> Iterator[Event]:
        for i in range(events):
            yield event(beam, np.random.default_rng((seed, i)))
            if progress is not None:
                progress("events", i + 1, events)

    return write_events(file, made())


def write_events(file: str | os.PathLike[str], events: Iterable[Event]) -> int:
    """Write events as a TTree ``Events``; returns how many."""
    number, rest = 0, iter(events)
    with uproot.recreate(file) as written:
        block = list(islice(rest, _BLOCK_EVENTS))
        columns = _columns(block)
        written.mktree("Events", {name: column.type.content for name, column in columns.items()})
        while block:
            written["Events"].extend(columns)
            number += len(block)
            block = list(islice(rest, _BLOCK_EVENTS))
            columns = _columns(block)
    return number


def _columns(events: list[Event]) -> dict[str, ak.Array]:
    def listed(arrays: list[np.ndarray], dtype: type) -> ak.Array:
        flat: np.ndarray = np.concatenate([np.empty(0), *arrays])
        return ak.unflatten(flat.astype(dtype), np.array([len(each) for each in arrays], np.int64))

    hits = {
        "layer": listed([event.layer for event in events], np.int32),
        "phi": listed([event.phi for event in events], np.float64),
        "z": listed([event.z_mm for event in events], np.float64),
        "particle": listed([event.particle for event in events], np.int32),
    }
    particles = {part: listed([event.tracks[i] for event in events], np.float64) for i, part in enumerate(PARTS)}
    return {"Hit": ak.zip(hits), "Particle": ak.zip(particles)}
