"""Events of a chamber: images without their noise's floor, hits, and the truth of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sonic.workloads.lartpc import hits, readout
from sonic.workloads.lartpc.chamber import PLANES, PROTODUNE
from sonic.workloads.lartpc.particles import NONE, Beam, make

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Chamber, Floats, Ints
    from sonic.workloads.lartpc.particles import Particles

_REAL = 0.3
"""Least part of a hit's charge that is a particle's; else it is noise."""


class Pixels(NamedTuple):
    """What is left of the images: samples above the noise, in the order of planes, wires and samples.

    Attributes
    ----------
    plane, wire, sample : int array [n]
    charge_ke : float32 array [n]
    """

    plane: Ints
    wire: Ints
    sample: Ints
    charge_ke: NDArray[np.float32]


class Hits(NamedTuple):
    """Hits of an event, plane by plane.

    Attributes
    ----------
    plane, wire : int array [n]
    sample, charge_ke, width : float array [n]
        As of :class:`sonic.workloads.lartpc.hits.Peaks`.
    """

    plane: Ints
    wire: Ints
    sample: Floats
    charge_ke: Floats
    width: Floats


class Event(NamedTuple):
    """An event.

    Attributes
    ----------
    pixels : Pixels
    hits : Hits
    particle : int array [hits]
        Whose each hit is: number among `particles`, -1 of noise.
    particles : Particles
    """

    pixels: Pixels
    hits: Hits
    particle: Ints
    particles: Particles

    @property
    def kind(self) -> Ints:
        """What each hit is of; int array [hits]: track, em or none."""
        return np.append(self.particles.kind, NONE)[self.particle]

    @property
    def michel(self) -> NDArray[np.bool_]:
        """Whether each hit is of a Michel electron; bool array [hits]."""
        return np.append(self.particles.michel, False)[self.particle]


def events(number: int, beam: Beam | None = None, *, seed: int, chamber: Chamber = PROTODUNE) -> list[Event]:
    """Simulate events; the same seed gives the same ones.

    Parameters
    ----------
    number : int
    beam : Beam, optional
    seed : int
    chamber : Chamber
    """
    return [event(beam or Beam(), np.random.default_rng((seed, i)), chamber) for i in range(number)]


def event(beam: Beam, random: np.random.Generator, chamber: Chamber = PROTODUNE) -> Event:
    """Simulate one event."""
    steps, particles = make(beam, chamber, random)
    charge = readout.electrons_ke(steps, chamber)
    pixels: list[tuple[NDArray[Any], ...]] = []
    found: list[tuple[NDArray[Any], ...]] = []
    whose: list[Ints] = []
    for plane in range(len(PLANES)):
        true, owner = readout.collect(plane, steps, charge, chamber)
        image = true + readout.noise(plane, chamber, random)
        peaks = hits.find(image, chamber.noise_ke[plane])
        wire, sample = np.nonzero(image > hits.SUPPRESSION * chamber.noise_ke[plane])
        pixels.append((np.full(len(wire), plane), wire, sample, image[wire, sample]))
        found.append((np.full(len(peaks.wire), plane), peaks.wire, peaks.sample, peaks.charge_ke, peaks.width))
        real = peaks.total(true) > _REAL * peaks.charge_ke
        whose.append(np.where(real, _owners(peaks, true, owner), -1))
    return Event(
        Pixels._make(np.concatenate(columns) for columns in zip(*pixels, strict=True)),
        Hits._make(np.concatenate(columns) for columns in zip(*found, strict=True)),
        np.concatenate(whose),
        particles,
    )


def _owners(peaks: hits.Peaks, true: NDArray[np.float32], owner: NDArray[np.int32]) -> Ints:
    """Return whose the pixel is that has most of each hit's true charge."""
    order = np.argsort(true.ravel()[peaks.pixel], kind="stable")
    owners = np.full(len(peaks.wire), -1)
    owners[peaks.hit[order]] = owner.ravel()[peaks.pixel[order]]
    return owners
