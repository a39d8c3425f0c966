"""Events in the endcap: particles that shower, cells that measure, and the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.hits import Hits
from sonic.workloads.hgcal.showers import KINDS, Axes, spots

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Endcap, Floats, Ints


@dataclass(frozen=True)
class Beam:
    """What is simulated.

    Parameters
    ----------
    min_particles, max_particles : int
        Of an event; any number between is as likely.
    min_energy_gev, max_energy_gev : float
    energy_power : float
        Of the spectrum: dN/dE falls with it.
    shares : tuple of float
        Of the kinds of particles, as in :data:`~sonic.workloads.hgcal.showers.KINDS`.
    spread_cm : float
        Radius at the front face of the region that the particles of an event enter.
    min_eta, max_eta : float
        Of the region's centre.
    noise_mip : float
        Standard deviation of a measured energy.
    noise_hits : float
        Cells with noise alone above the threshold, on average.
    threshold_mip : float
        Of a hit.

    Raises
    ------
    ConfigError
        If there is no share for each kind, a range is upside down, or a number is negative.
    """

    min_particles: int = 2
    max_particles: int = 5
    min_energy_gev: float = 2.0
    max_energy_gev: float = 30.0
    energy_power: float = 2.0
    shares: tuple[float, ...] = (0.35, 0.10, 0.40, 0.15)
    spread_cm: float = 15.0
    min_eta: float = 1.7
    max_eta: float = 2.7
    noise_mip: float = 0.15
    noise_hits: float = 15.0
    threshold_mip: float = 0.5

    def __post_init__(self) -> None:
        if len(self.shares) != len(KINDS) or min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ConfigError(f"shares are of {', '.join(KINDS)}, none negative, given {self.shares}")
        for name in ("particles", "energy_gev", "eta"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not 0 <= low <= high < math.inf or (name != "particles" and low == 0):
                raise ConfigError(f"{name} from {low} to {high}: expected a range above 0")
        if not all(0 <= getattr(self, n) < math.inf for n in ("spread_cm", "noise_mip", "noise_hits", "threshold_mip")):
            raise ConfigError(f"spread, noise and threshold are 0 or more, given {self}")


@dataclass(frozen=True)
class Event:
    """Hits, and what caused them.

    Parameters
    ----------
    hits : Hits
    shower : int array [hits]
        Number of the particle that most of it is from; -1: noise.
    fraction : float array [hits]
        How much of its energy is from that one; 0 for noise.
    kind : int array [particles]
        Index in :data:`~sonic.workloads.hgcal.showers.KINDS`.
    true_gev : float array [particles]
    entry_cm : float array [2, particles]
        x and y at the front face.
    """

    hits: Hits
    shower: Ints
    fraction: Floats
    kind: Ints
    true_gev: Floats
    entry_cm: Floats

    def __len__(self) -> int:
        return len(self.shower)


def events(number: int, beam: Beam | None = None, *, seed: int) -> list[Event]:
    """Simulate events; the same seed gives the same ones.

    Parameters
    ----------
    number : int
    beam : Beam, optional
    seed : int
    """
    return [event(beam or Beam(), np.random.default_rng((seed, i))) for i in range(number)]


def event(beam: Beam, random: np.random.Generator, endcap: Endcap = ENDCAP) -> Event:
    """Simulate one event."""
    axes, centre = particles(beam, random, endcap)
    made = spots(axes, random, endcap)
    cells = np.stack([made.layer, *endcap.cells(made.x_cm, made.y_cm)])
    owner, energy = made.particle, made.energy_mip
    noise = _noise(random.poisson(beam.noise_hits), centre, beam, random, endcap)
    cells = np.concatenate([cells, noise], axis=1)
    owner = np.concatenate([owner, np.full(noise.shape[1], -1)])
    # Just above the threshold, where a normal distribution falls as an exponential does.
    above = beam.threshold_mip + random.exponential(beam.noise_mip**2 / max(beam.threshold_mip, 1e-3), noise.shape[1])
    return _measure(cells, owner, np.concatenate([energy, above]), axes, beam, random, endcap)


def particles(beam: Beam, random: np.random.Generator, endcap: Endcap = ENDCAP) -> tuple[Axes, Floats]:
    """Draw the particles of an event, and the centre [2] in cm of the region at the front face that they enter."""
    number = int(random.integers(beam.min_particles, beam.max_particles + 1))
    eta, phi = random.uniform(beam.min_eta, beam.max_eta), random.uniform(-np.pi, np.pi)
    centre = endcap.front_cm / np.sinh(eta) * np.array([np.cos(phi), np.sin(phi)])
    kind = random.choice(len(KINDS), number, p=np.asarray(beam.shares) / sum(beam.shares))
    energy = _falling(beam.min_energy_gev, beam.max_energy_gev, beam.energy_power, random.uniform(size=number))
    radius = beam.spread_cm * np.sqrt(random.uniform(size=number))
    angle = random.uniform(-np.pi, np.pi, number)
    x_cm, y_cm = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return Axes(kind, energy, x_cm, y_cm), centre


def _falling(low: float, high: float, power: float, uniform: Floats) -> Floats:
    if power == 1:
        return np.asarray(low * (high / low) ** uniform)
    ends = low ** (1 - power), high ** (1 - power)
    return np.asarray((ends[0] + uniform * (ends[1] - ends[0])) ** (1 / (1 - power)))


def _noise(number: int, centre: Floats, beam: Beam, random: np.random.Generator, endcap: Endcap) -> Ints:
    """Draw cells around the particles, on any layer; int array [3, number]."""
    layer = random.integers(len(endcap), size=number)
    scale = np.asarray(endcap.z_cm)[layer] / endcap.front_cm
    across = random.uniform(-2, 2, (2, number)) * beam.spread_cm
    return np.stack([layer, *endcap.cells(*((centre[:, None] + across) * scale))])


def _measure(
    cells: Ints, owner: Ints, energy: Floats, axes: Axes, beam: Beam, random: np.random.Generator, endcap: Endcap
) -> Event:
    """Add up what is in a cell, with noise; the truth is who gave most."""
    # First by cell and owner, then by cell. A cell as one number is sorted many times as fast as three.
    keys = _keys(cells)
    pairs, first, inverse = np.unique(keys * (len(axes.kind) + 1) + owner + 1, return_index=True, return_inverse=True)
    amounts = np.bincount(inverse, energy, minlength=len(pairs))
    of_cell, number = np.unique(keys[first], return_inverse=True)
    total = np.bincount(number, amounts, minlength=len(of_cell))
    order = np.lexsort((amounts, number))
    most = np.empty(len(of_cell), np.int64)
    most[number[order]] = order  # the last of each cell stays: its largest
    measured = total + beam.noise_mip * random.normal(size=len(total)) * (owner[first[most]] >= 0)
    kept = np.flatnonzero(measured > beam.threshold_mip)
    kept = kept[random.permutation(len(kept))]
    chosen = most[kept]
    where = first[chosen]
    x_cm, y_cm = endcap.centres(cells[1:, where])
    shower = owner[where]
    fraction = np.where(shower >= 0, amounts[chosen] / total[kept], 0.0)
    entry = np.stack([axes.x_cm, axes.y_cm])
    hits = Hits(cells[0, where], x_cm, y_cm, measured[kept])
    return Event(hits, shower, fraction, axes.kind, axes.energy_gev, entry)


def _keys(cells: Ints) -> Ints:
    layer, column, row = cells
    columns, rows = column - column.min(initial=0), row - row.min(initial=0)
    keys: Ints = (layer * (columns.max(initial=0) + 1) + columns) * (rows.max(initial=0) + 1) + rows
    return keys
