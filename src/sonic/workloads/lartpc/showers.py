"""Electrons and photons in argon: all showers of an event step by step, together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.lartpc.tracks import ELECTRON_MEV, RADIATION_LENGTH_MM, STEP_MM, Steps, together

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Chamber, Floats, Ints

MICHEL_MEV = 52.83
"""Most that a muon's decay gives its electron."""
_LOSS_MEV_PER_MM = 0.21
"""By collisions: that of a minimum ionising particle."""
_SOFTEST_MEV = 1.0
"""Of the photons that are radiated one by one."""
_PHOTON_MM = RADIATION_LENGTH_MM * 9 / 7
"""Before a photon does something: that for pairs, which down to 1 MeV is right within a third."""
_PAIRS_MEV = 13.0
"""Where as many photons make pairs as scatter."""
_LAST_MEV = 0.3
"""What is left of a photon with less than that stays where it is."""
_MOST_STEPS = 2000


class Quanta(NamedTuple):
    """Electrons and photons.

    Attributes
    ----------
    position_mm, direction : float array [n, 3]
    energy_mev : float array [n]
        Kinetic.
    photon : bool array [n]
    particle, heir : int array [n]
        Whose shower it is, and whose is what it radiates.
    """

    position_mm: Floats
    direction: Floats
    energy_mev: Floats
    photon: NDArray[np.bool_]
    particle: Ints
    heir: Ints

    def at(self, chosen: NDArray[np.bool_]) -> Quanta:
        """Return those chosen."""
        return Quanta._make(column[chosen] for column in self)


def joined(parts: Iterable[Quanta]) -> Quanta:
    """Return the electrons and photons of several."""
    return Quanta._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def develop(quanta: Quanta, chamber: Chamber, random: np.random.Generator) -> Steps:
    """Let showers develop until all is left in the argon or gone.

    Electrons (positrons are the same) lose energy by collisions, radiate photons with a spectrum of 1/k, so that of
    their energy 1/e is left after a radiation length, and scatter by Highland's formula. Photons make pairs, whose
    energy is shared evenly at random, or scatter from electrons.

    Parameters
    ----------
    quanta : Quanta
        What they begin with.
    chamber : Chamber
    random : numpy.random.Generator
    """
    parts: list[Steps] = []
    for _ in range(_MOST_STEPS):
        if not len(quanta.energy_mev):
            break
        electrons, photons = quanta.at(~quanta.photon), quanta.at(quanta.photon)
        left, radiated, steps = _step(electrons, random)
        made, remains = _convert(photons, random)
        parts += [steps, remains]
        quanta = joined([left, radiated, made])
        quanta = quanta.at((quanta.energy_mev > 0) & chamber.inside(quanta.position_mm))
    found = together(parts)
    inside = chamber.inside(found.position_mm)
    return Steps._make(column[inside] for column in found)


def michel_energy(number: int, random: np.random.Generator) -> Floats:
    """Draw energies of electrons from muons at rest, in MeV: Michel's spectrum, x^2 (3 - 2x)."""
    x = np.linspace(0, 1, 501)
    return MICHEL_MEV * np.interp(random.uniform(size=number), 2 * x**3 - x**4, x)


def _step(electrons: Quanta, random: np.random.Generator) -> tuple[Quanta, Quanta, Steps]:
    """Move electrons by a step: they, what they radiate, and what they leave behind."""
    number = len(electrons.energy_mev)
    mean = _LOSS_MEV_PER_MM * STEP_MM
    lost = np.minimum(mean * random.gamma(16.0, 1 / 16.0, number), electrons.energy_mev)
    part = lost / np.maximum(mean, lost)
    energy = electrons.energy_mev - lost
    momentum = np.sqrt(electrons.energy_mev * (electrons.energy_mev + 2 * ELECTRON_MEV))
    beta = momentum / (electrons.energy_mev + ELECTRON_MEV)
    length = STEP_MM * part
    angle = 13.6 / np.maximum(momentum * beta, 0.3) * np.sqrt(length / RADIATION_LENGTH_MM)
    way = _turned(electrons.direction, np.minimum(angle, 1.0), random)
    ends = electrons.position_mm + length[:, None] * way
    steps = Steps(0.5 * (electrons.position_mm + ends), lost, length, electrons.particle)
    scale = np.log(np.maximum(energy / _SOFTEST_MEV, 1.0))
    radiates = random.uniform(size=number) < STEP_MM / RADIATION_LENGTH_MM * scale
    quantum = np.where(radiates, _SOFTEST_MEV * np.exp(scale * random.uniform(size=number)), 0.0)
    left = electrons._replace(position_mm=ends, direction=way, energy_mev=energy - quantum)
    angle = np.minimum(ELECTRON_MEV / np.maximum(energy, ELECTRON_MEV), 0.5)
    photon = np.ones(number, bool)
    radiated = Quanta(ends, _turned(way, angle, random), quantum, photon, electrons.heir, electrons.heir)
    return left, radiated.at(radiates), steps


def _convert(photons: Quanta, random: np.random.Generator) -> tuple[Quanta, Steps]:
    """Let photons go to where they do something: what comes of them, and what stays there."""
    number = len(photons.energy_mev)
    at = photons.position_mm + random.exponential(_PHOTON_MM, number)[:, None] * photons.direction
    energy = photons.energy_mev
    soft = energy < _LAST_MEV
    remains = Steps(at[soft], energy[soft], np.full(int(soft.sum()), 0.3), photons.particle[soft])
    pairs = ~soft & (random.uniform(size=number) < energy**2 / (energy**2 + _PAIRS_MEV**2))
    share = random.uniform(size=number)
    # The two of a pair; else the electron, and the photon that goes on.
    most = energy / (1 + 0.5 * ELECTRON_MEV / np.maximum(energy, 1e-3))
    first = np.where(pairs, share * np.maximum(energy - 2 * ELECTRON_MEV, 0), share * most)
    second = np.where(pairs, (1 - share) * np.maximum(energy - 2 * ELECTRON_MEV, 0), energy - first)
    cos = 1 - ELECTRON_MEV * (1 / np.maximum(second, 1e-3) - 1 / np.maximum(energy, 1e-3))
    scattered = np.arccos(np.clip(cos, -1, 1))
    narrow = ELECTRON_MEV / np.maximum(energy, ELECTRON_MEV)
    ways = [_turned(photons.direction, angle, random) for angle in (narrow, np.where(pairs, narrow, scattered))]
    moved = photons._replace(position_mm=at)
    made = [
        moved._replace(direction=ways[0], energy_mev=first, photon=np.zeros(number, bool)),
        moved._replace(direction=ways[1], energy_mev=second, photon=~pairs),
    ]
    return joined(each.at(~soft) for each in made), remains


def _turned(direction: Floats, angle: Floats, random: np.random.Generator) -> Floats:
    """Turn directions [n, 3] by about these angles [n], to any side."""
    turned = direction + np.tan(np.minimum(angle, 1.3))[:, None] * random.normal(size=direction.shape)
    normed: Floats = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    return normed
