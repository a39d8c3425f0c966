"""Simulated events as a ROOT file, which the workflow reads: pixels, hits, and whose they are."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.workloads.eventfile import one_by_one, write
from sonic.workloads.lartpc.particles import Beam
from sonic.workloads.lartpc.simulation import event

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from sonic.workloads.lartpc.simulation import Event
    from sonic.workloads.progress import Progress


PIXELS = ("Pixel_plane", "Pixel_wire", "Pixel_sample", "Pixel_charge")
"""What the images are put together from; charges in thousands of electrons."""
HITS = ("Hit_plane", "Hit_wire", "Hit_sample")
"""Where the hits are."""
TRUTH = ("Hit_particle", "Particle_kind", "Particle_michel")
"""Whose each hit is, -1 of noise, and what the particles are: 0 a track, 1 a shower."""
_BRANCHES: dict[str, dict[str, type]] = {
    "Pixel": {"plane": np.int8, "wire": np.int16, "sample": np.int16, "charge": np.float32},
    "Hit": {
        "plane": np.int8,
        "wire": np.int16,
        "sample": np.float32,
        "charge": np.float32,
        "width": np.float32,
        "particle": np.int32,
    },
    "Particle": {"kind": np.int8, "michel": np.bool_, "pdgId": np.int32, "kineticEnergy": np.float32},
}


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    through: float = Beam.through,
    stopping: float = Beam.stopping,
    pions: float = Beam.pions,
    protons: float = Beam.protons,
    showers: float = Beam.showers,
) -> int:
    """Tracks, showers and Michel electrons in liquid argon, seen on three planes of wires.

    Parameters
    ----------
    file : path
    events, seed : int
        The same seed gives the same events; training uses others than any seed here.
    progress : callable of (stage, done, total), optional
    through, stopping, pions, protons, showers : float
        How many of each an event has on average; see :class:`sonic.workloads.lartpc.particles.Beam`.

    Returns
    -------
    int
        Events written.
    """
    beam = Beam(through, stopping, pions, protons, showers)

    return write_events(file, one_by_one(lambda random: event(beam, random), events, seed, progress))


def write_events(file: str | os.PathLike[str], events: Iterable[Event]) -> int:
    """Write events one after another as a TTree ``Events``; returns how many."""
    empty = {name: _zipped(branches, {}) for name, branches in _BRANCHES.items()}
    return write(file, chain([empty], map(_columns, events)))


def _columns(made: Event) -> dict[str, ak.Array]:
    values = {
        "Pixel": made.pixels,
        "Hit": (*made.hits, made.particle),
        "Particle": made.particles,
    }
    return {
        name: _zipped(branches, dict(zip(branches, values[name], strict=True))) for name, branches in _BRANCHES.items()
    }


def _zipped(branches: dict[str, type], values: dict[str, Any]) -> ak.Array:
    """Return one event's collection; without values, a column of no events."""
    flat: dict[str, np.ndarray] = {name: np.asarray(values.get(name, ()), dtype) for name, dtype in branches.items()}
    counts = [len(next(iter(flat.values())))] if values else []
    return ak.zip({name: ak.unflatten(column, np.array(counts, np.int64)) for name, column in flat.items()})
