"""Pile-up: further collisions of the same bunch crossing, drawn from a pool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.simulation.pythia import concatenate

if TYPE_CHECKING:
    from sonic.workloads.simulation.pythia import Particles

BEAM_SPOT_Z_CM = 3.6

NON_DIFFRACTIVE = 0.72
"""Share of the inelastic collisions that are generated: diffractive ones are left out."""


def add_pile_up(
    hard: Particles, events: int, pool: Particles, mean: float, spread: float, rng: np.random.Generator
) -> tuple[Particles, np.ndarray]:
    """Add pile-up to events.

    A collision of the pool can serve many events: each time it is turned by a random angle about the beam,
    mirrored or not, and moved along the beam, all of which the physics is symmetric under.

    Parameters
    ----------
    hard : Particles
        The hard collisions, produced around the origin.
    events : int
        How many events there are.
    pool : Particles
        Minimum-bias collisions, one an event.
    mean, spread : float
        Mean over events of the expected number of inelastic collisions, and its standard deviation.
    rng : numpy.random.Generator

    Returns
    -------
    particles : Particles
        Hard collision and pile-up; positions are relative to the hard collision.
    interactions : int64 [events]
        Collisions added to each event.
    """
    expected = np.maximum(rng.normal(mean, spread, events), 5.0) * NON_DIFFRACTIVE
    interactions = rng.poisson(expected)
    pairs = int(interactions.sum())
    event_of_pair = np.repeat(np.arange(events), interactions)
    first = np.concatenate([[0], np.cumsum(interactions)])[:-1]
    number_in_event = np.arange(pairs) - np.repeat(first, interactions) + 1

    sizes = np.bincount(pool.event)
    starts = np.cumsum(sizes) - sizes
    chosen = rng.integers(0, len(sizes), pairs)
    turn = rng.uniform(-np.pi, np.pi, pairs)
    mirror = rng.choice([-1.0, 1.0], pairs)
    hard_z = rng.normal(0.0, BEAM_SPOT_Z_CM, events)
    shift = rng.normal(0.0, BEAM_SPOT_Z_CM, pairs) - hard_z[event_of_pair]

    lengths = sizes[chosen]
    pair = np.repeat(np.arange(pairs), lengths)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    copies = pool[starts[chosen][pair] + within]
    cos, sin = np.cos(turn)[pair], np.sin(turn)[pair]
    moved = replace(
        copies,
        event=event_of_pair[pair],
        px=copies.px * cos - copies.py * sin,
        py=copies.px * sin + copies.py * cos,
        pz=copies.pz * mirror[pair],
        vx=copies.vx * cos - copies.vy * sin,
        vy=copies.vx * sin + copies.vy * cos,
        vz=copies.vz * mirror[pair] + shift[pair],
        collision=number_in_event[pair].astype(np.int32),
    )
    return concatenate([hard, moved]), interactions
