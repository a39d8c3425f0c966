"""Events for the workflow ``hlt``: one set of particles seen by the calorimeters and by the tracker, with the truth.

Particles are Pythia's, or drawn. Those of the triggered collision leave energy in both calorimeters and, if charged,
hits in the tracker; pile-up is what each detector's own simulation adds, and is not the same particles in the two.
Branches: ``Digi_*`` the channels of the hadron calorimeter (the eight codes of a channel are the bytes of one number),
``Cell_*`` the inner calorimeter, ``Hit_*`` the tracker; ``GenJet_*``, ``GenMET_*`` and ``Particle_*`` the truth.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.eventfile import write
from sonic.workloads.hcal import simulation as hcal
from sonic.workloads.hlt import drawn
from sonic.workloads.hlt.calorimeters import deposit, read_out
from sonic.workloads.tracking import simulation as tracking
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import perigee
from sonic.workloads.tracking.sample import PARTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sonic.workloads.hcal.simulation import Conditions
    from sonic.workloads.progress import Progress
    from sonic.workloads.simulation.pythia import Collisions, Particles

    Floats = NDArray[np.float64]

DRAWN = "drawn"
"""The process that needs no Pythia."""
BLOCK_EVENTS = 100
"""Events simulated and written in one go."""
_CALIBRATION_SEED = 1
_VERTEX_SIGMA_MM = 45.0
_MIN_PT_GEV, _MAX_ETA = 0.3, 2.0
_FIRST_LAYER_MM = 0.9 * BARREL.radii_mm[0]
_TRACKS_A_COLLISION = 9.0
"""Charged particles of pile-up in the tracker."""
_PILEUP = tracking.Beam(min_pt_gev=0.5, max_pt_gev=20.0, pt_power=4.0, displaced=0.03)


@lru_cache(maxsize=1)
def calibration() -> Conditions:
    """Return the calibration of the hadron calorimeter that the events are made with and reconstructed with."""
    return hcal.conditions(_CALIBRATION_SEED)


def generate(
    file: str | os.PathLike[str],
    events: int,
    seed: int,
    progress: Progress | None = None,
    *,
    process: str = "tt",
    pileup: float = 50.0,
) -> int:
    """Jets with pile-up in a hadron calorimeter's digis, an inner calorimeter and a tracker.

    Parameters
    ----------
    file : path
        ROOT file.
    events, seed : int
        The same numbers and options give the same events.
    progress : callable of (stage, done, total), optional
    process : str
        One of :mod:`sonic.workloads.simulation.processes`, by Pythia, or ``drawn``.
    pileup : float
        Mean number of collisions of a crossing.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    ConfigError
        If there is no such process, an extra is missing (fastjet always, for true jets; pythia8mc), or a number makes
        no sense.
    """
    if events < 1 or not 0 <= pileup < math.inf:
        raise ConfigError(f"expected 1 event or more and a pileup of 0 or more, given {events} and {pileup}")

    def blocks() -> Iterator[dict[str, ak.Array]]:
        for block, start in enumerate(range(0, events, BLOCK_EVENTS)):
            made = _collisions(process, min(BLOCK_EVENTS, events - start), seed, block)
            yield simulate(made, pileup, seed, start, progress, events)

    return write(file, blocks())


def simulate(
    collisions: Collisions,
    pileup: float,
    seed: int,
    first: int = 0,
    progress: Progress | None = None,
    total: int | None = None,
) -> dict[str, ak.Array]:
    """Let the detector see collisions.

    Parameters
    ----------
    collisions : Collisions
        One or more.
    pileup : float
    seed : int
    first : int
        Number of the first event.
    progress : callable, optional
    total : int, optional
        Events of all blocks.

    Returns
    -------
    dict of arrays
        By collection (records) or branch, one entry an event.
    """
    rows: list[dict[str, Any]] = []
    edges = np.searchsorted(collisions.stable.event, np.arange(collisions.events + 1))
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        random = np.random.default_rng((seed, 12, first + number))
        rows.append(_event(collisions.stable[low:high], pileup, random))
        if progress is not None:
            progress("events", first + number + 1, total or first + collisions.events)
    jagged: dict[str, dict[str, ak.Array]] = {}
    for name in rows[0]:
        collection, _, part = name.partition("_")
        parts = [row[name] for row in rows]
        jagged.setdefault(collection, {})[part] = ak.unflatten(np.concatenate(parts), [len(each) for each in parts])
    columns = {name: ak.zip(parts) for name, parts in jagged.items()}
    ones = np.ones(collisions.events, np.uint32)
    columns |= {"run": ones, "luminosityBlock": ones, "event": first + np.arange(collisions.events, dtype=np.uint64)}
    return columns | _truth(collisions)


def charged(particles: Particles, z_mm: float) -> Floats:
    """Return the helices of the charged particles of one event that the tracker can see.

    Parameters
    ----------
    particles : Particles
    z_mm : float
        Where the collision was.

    Returns
    -------
    float array [5, tracks]
        Of those above 0.3 GeV, in front of whose origin there is no layer.
    """
    x, y, z = 10 * particles.vx, 10 * particles.vy, 10 * particles.vz + z_mm
    radius = np.hypot(x, y)
    seen = (particles.charge != 0) & (particles.pt > _MIN_PT_GEV) & (np.abs(particles.eta) < _MAX_ETA)
    seen &= radius < _FIRST_LAYER_MM
    p, at = particles[seen], np.arctan2(y, x)[seen]
    return perigee(radius[seen], at, z[seen], p.phi, np.sinh(p.eta), p.charge / p.pt, BARREL)


def _collisions(process: str, events: int, seed: int, block: int) -> Collisions:
    if process == DRAWN:
        return drawn.collisions(events, int(np.random.SeedSequence([seed, block]).generate_state(1)[0]))
    from sonic.workloads.simulation.processes import PROCESSES, find
    from sonic.workloads.simulation.pythia import generate as pythia

    found = find(process)
    own = np.random.SeedSequence([seed, PROCESSES.index(found), block, 12]).generate_state(1)[0]
    return pythia(found.settings(int(own)), events)


def _event(particles: Particles, pileup: float, random: np.random.Generator) -> dict[str, Any]:
    left = deposit(particles, random)
    beam = hcal.Beam(pileup=pileup)
    digis = hcal.event(beam, calibration(), random, signal_gev=left.hadronic)
    ieta, iphi, energy = read_out(left.inner, pileup, random)
    own = charged(particles, random.normal(0, _VERTEX_SIGMA_MM))
    others = [
        tracking.particles(_PILEUP, random.poisson(_TRACKS_A_COLLISION), random) for _ in range(random.poisson(pileup))
    ]
    tracks = np.concatenate([own, *others], axis=1)
    hits = tracking.event(tracking.Beam(), random, tracks=tracks)
    return {
        "Digi_channel": np.arange(len(digis), dtype=np.int32),
        "Digi_slices": pack(digis.codes),
        "Cell_ieta": ieta.astype(np.int32),
        "Cell_iphi": iphi.astype(np.int32),
        "Cell_energy": energy.astype(np.float32),
        "Hit_layer": hits.layer.astype(np.int32),
        "Hit_phi": hits.phi,
        "Hit_z": hits.z_mm,
        "Hit_particle": hits.particle.astype(np.int32),
        **{f"Particle_{name}": row for name, row in zip(PARTS, tracks, strict=True)},
        "Particle_hard": np.arange(tracks.shape[1]) < own.shape[1],
    }


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the eight codes of each channel as one number, the first in the lowest byte.

    Parameters
    ----------
    codes : uint8 array [channels, 8]
    """
    return np.ascontiguousarray(codes).view("<u8")[:, 0].astype(np.uint64, copy=False)


def unpack(slices: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the codes that :func:`pack` packed; uint8 array [channels, 8]."""
    return np.ascontiguousarray(slices, "<u8").view(np.uint8).reshape(-1, 8)


def _truth(collisions: Collisions) -> dict[str, ak.Array]:
    from sonic.workloads.simulation import jets as jetting

    jets = jetting.generated(collisions.stable, collisions.events)
    records = {name: ak.values_astype(jets[name], np.float32) for name in ("pt", "eta", "phi", "mass")}
    records["hadronFlavour"] = jetting.flavour(jets, collisions)["hadronFlavour"]
    neutrinos = collisions.stable[collisions.stable.invisible]
    x, y = (np.bincount(neutrinos.event, part, collisions.events) for part in (neutrinos.px, neutrinos.py))
    return {
        "GenJet": ak.zip(records),
        "GenMET_pt": np.hypot(x, y).astype(np.float32),
        "GenMET_phi": np.arctan2(y, x).astype(np.float32),
    }
