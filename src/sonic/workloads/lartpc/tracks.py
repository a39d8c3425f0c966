"""Heavy charged particles in argon: energy loss, range, scattering. A whole track is made at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber, Floats, Ints

MASS_MEV = {"muon": 105.658, "pion": 139.570, "proton": 938.272}
ELECTRON_MEV = 0.511
RADIATION_LENGTH_MM = 140.0
"""Of liquid argon: 19.55 g/cm2 (Particle Data Group, atomic and nuclear properties)."""
STEP_MM = 3.0

_DENSITY_G_CM3 = 1.396
_K = 0.307075  # MeV cm2 / mol
_Z_OVER_A = 18 / 39.948
_EXCITATION_MEV = 188e-6
# The density effect of argon, by Sternheimer, Berger and Seltzer, At. Data Nucl. Data Tables 30 (1984) 261.
_STERNHEIMER = {"c": 5.2146, "x0": 0.2, "x1": 3.0, "a": 0.19559, "k": 3.0}
_MOYAL_MEAN = 1.2703628  # Euler's constant and ln 2


class Steps(NamedTuple):
    """Pieces of the ways of particles, and what they left there.

    Attributes
    ----------
    position_mm : float array [n, 3]
    energy_mev : float array [n]
    length_mm : float array [n]
    particle : int array [n]
        Whose it is.
    """

    position_mm: Floats
    energy_mev: Floats
    length_mm: Floats
    particle: Ints


class Track(NamedTuple):
    """A particle's way.

    Attributes
    ----------
    steps : Steps
    end_mm : float array [3]
    direction : float array [3]
        At the end.
    stopped, interacted : bool
        Whether the argon stopped it, or it went as far as it was to; else it left.
    kinetic_mev : float
        At the end.
    """

    steps: Steps
    end_mm: Floats
    direction: Floats
    stopped: bool
    interacted: bool
    kinetic_mev: float


def loss(mass_mev: float, kinetic_mev: Floats) -> Floats:
    """Return the mean energy loss in MeV/cm: Bethe's equation (Particle Data Group, eq. 34.5) for liquid argon."""
    gamma = 1 + kinetic_mev / mass_mev
    beta2 = 1 - 1 / gamma**2
    beta_gamma = np.sqrt(gamma**2 - 1)
    ratio = ELECTRON_MEV / mass_mev
    largest = 2 * ELECTRON_MEV * beta_gamma**2 / (1 + 2 * gamma * ratio + ratio**2)
    inner = 0.5 * np.log(2 * ELECTRON_MEV * beta_gamma**2 * largest / _EXCITATION_MEV**2)
    found: Floats = (
        _K * _Z_OVER_A * _DENSITY_G_CM3 / beta2 * np.maximum(inner - beta2 - 0.5 * _density_effect(beta_gamma), 1.0)
    )
    return found


@cache
def ranges(name: str) -> tuple[Floats, Floats]:
    """Return kinetic energies in MeV and the ranges in mm that they have, both rising."""
    kinetic = np.geomspace(0.5, 50_000, 2000)
    per_mm = loss(MASS_MEV[name], kinetic) / 10
    pieces = np.diff(kinetic) * 0.5 * (1 / per_mm[1:] + 1 / per_mm[:-1])
    return kinetic, np.concatenate([[kinetic[0] / per_mm[0]], kinetic[0] / per_mm[0] + np.cumsum(pieces)])


def kinetic_for(name: str, range_mm: float) -> float:
    """Return the kinetic energy in MeV that carries a particle so far."""
    kinetic, reach = ranges(name)
    return float(np.interp(range_mm, reach, kinetic))


def follow(
    name: str,
    start_mm: Floats,
    direction: Floats,
    kinetic_mev: float,
    chamber: Chamber,
    random: np.random.Generator,
    *,
    particle: int,
    until_mm: float = np.inf,
) -> Track:
    """Let a particle go until it stops, leaves or has gone far enough.

    Energy is lost as the mean has it, and deposited with fluctuations (Moyal's distribution). Scattering is by
    Highland's formula, about the direction that it began with, whose logarithm is left out: it is for one step, and
    steps add up.

    Parameters
    ----------
    name : str
        Of :data:`MASS_MEV`.
    start_mm, direction : float array [3]
    kinetic_mev : float
    chamber : Chamber
    random : numpy.random.Generator
    particle : int
        What its steps are to be called.
    until_mm : float
        Where it interacts.
    """
    energies, reach = ranges(name)
    length = float(np.interp(kinetic_mev, energies, reach))
    count = max(1, int(min(length, until_mm, 3 * chamber.box_mm.sum()) / STEP_MM))
    left = np.maximum(length - STEP_MM * np.arange(count + 1), 0.0)
    kinetic = np.interp(left, reach, energies, left=0.0)
    if length <= until_mm:
        kinetic[-1] = 0.0 if left[-1] < STEP_MM else kinetic[-1]
    gamma = 1 + kinetic[:-1] / MASS_MEV[name]
    momentum_beta = MASS_MEV[name] * (gamma - 1 / gamma)
    angle = 13.6 / np.maximum(momentum_beta, 1.0) * np.sqrt(STEP_MM / RADIATION_LENGTH_MM)
    kicks = np.cumsum(angle[:, None] * random.normal(size=(count, 3)), axis=0)
    ways = direction + kicks - kicks[0]
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    ends = start_mm + np.cumsum(STEP_MM * ways, axis=0)
    outside = ~chamber.inside(ends)
    stop = int(outside.argmax()) if outside.any() else count
    if stop == 0:
        return Track(nothing(), np.asarray(start_mm, float), np.asarray(direction, float), False, False, kinetic_mev)
    positions = (ends - 0.5 * STEP_MM * ways)[:stop]
    steps = Steps(
        positions,
        _fluctuated((kinetic[:-1] - kinetic[1:])[:stop], gamma[:stop], random),
        np.full(stop, STEP_MM),
        np.full(stop, particle),
    )
    whole = stop == count
    stopped, interacted = whole and length <= until_mm, whole and length > until_mm
    return Track(steps, ends[stop - 1], ways[stop - 1], stopped, interacted, float(kinetic[stop]))


def nothing() -> Steps:
    """Return no steps."""
    return Steps(np.empty((0, 3)), np.empty(0), np.empty(0), np.empty(0, np.int64))


def together(parts: list[Steps]) -> Steps:
    """Return the steps of several particles."""
    return Steps._make(np.concatenate(columns) for columns in zip(nothing(), *parts, strict=True))


def _density_effect(beta_gamma: Floats) -> Floats:
    s = _STERNHEIMER
    x = np.log10(beta_gamma)
    high = 2 * np.log(10) * x - s["c"]
    middle = high + s["a"] * np.maximum(s["x1"] - x, 0) ** s["k"]
    return np.where(x < s["x0"], 0.0, np.where(x < s["x1"], middle, high))


def _fluctuated(mean_mev: Floats, gamma: Floats, random: np.random.Generator) -> Floats:
    """Spread losses about their means by Landau's width, cut where single collisions would be tracks of their own."""
    beta2 = 1 - 1 / np.maximum(gamma, 1.0001) ** 2
    width = np.minimum(0.5 * _K * _Z_OVER_A * _DENSITY_G_CM3 * STEP_MM / 10 / beta2, 0.3 * mean_mev)
    moyal = -np.log(np.maximum(random.normal(size=len(mean_mev)) ** 2, 1e-12))
    spread: Floats = np.clip(mean_mev + width * (moyal - _MOYAL_MEAN), 0.3 * mean_mev, 4 * mean_mev)
    return spread
