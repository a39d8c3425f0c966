"""What an event is made of: muons from the sky, some of which stop, pions and protons of a beam, showers."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.lartpc.showers import Quanta, develop, joined, michel_energy
from sonic.workloads.lartpc.tracks import follow, kinetic_for, together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Chamber, Floats, Ints
    from sonic.workloads.lartpc.tracks import Steps, Track

KINDS = ("track", "em", "none")
"""What hits are of, in the order of the network's outputs; none is noise."""
TRACK, EM, NONE = range(3)

_PDG = {"muon": 13, "pion": 211, "proton": 2212, "electron": 11, "photon": 22}
_INTERACTION_MM = 1067.0
"""Of pions: 149 g/cm2 (Particle Data Group, atomic and nuclear properties)."""
_PI0_MEV = 134.98
_DECAYS = 0.67
"""Stopped muons whose electron is seen: argon captures three in four of the negative ones."""


@dataclass(frozen=True)
class Beam:
    """How many particles of each sort an event has on average; each number is Poisson distributed.

    Parameters
    ----------
    through : float
        Muons from above, of several GeV.
    stopping : float
        Muons that stop in the argon; most end in a Michel electron.
    pions, protons : float
        That enter in front. Pions interact: protons, pions and photons come of it.
    showers : float
        Electrons and photons, anywhere.

    Raises
    ------
    ConfigError
        If a number is negative.
    """

    through: float = 3.0
    stopping: float = 3.0
    pions: float = 1.5
    protons: float = 1.0
    showers: float = 2.0

    def __post_init__(self) -> None:
        if not all(0 <= mean < math.inf for mean in astuple(self)):
            raise ConfigError(f"means are 0 or more, given {self}")


class Particles(NamedTuple):
    """The particles of an event: each shower is one, and what it is of.

    Attributes
    ----------
    kind : int array [n]
        :data:`TRACK` or :data:`EM`.
    michel : bool array [n]
        Whether it is the electron of a muon at rest. What that radiates is a particle of its own, for it may be far
        from it.
    pdg : int array [n]
        Particle Data Group's number, without the sign of the charge.
    kinetic_mev : float array [n]
        At its beginning; 0 of what a Michel electron radiates.
    """

    kind: Ints
    michel: NDArray[np.bool_]
    pdg: Ints
    kinetic_mev: Floats


class Making:
    """An event while it is made.

    Parameters
    ----------
    chamber : Chamber
    random : numpy.random.Generator
    """

    def __init__(self, chamber: Chamber, random: np.random.Generator) -> None:
        self._chamber, self._random = chamber, random
        self._rows: list[tuple[int, bool, int, float]] = []
        self._steps: list[Steps] = []
        self._quanta: list[Quanta] = []

    def finish(self) -> tuple[Steps, Particles]:
        """Let the showers develop; return all steps and particles."""
        if self._quanta:
            self._steps.append(develop(joined(self._quanta), self._chamber, self._random))
        rows = np.array(self._rows, float).reshape(-1, 4).T
        return together(self._steps), Particles(rows[0].astype(int), rows[1] > 0, rows[2].astype(int), rows[3])

    def through(self) -> None:
        """Add a muon that goes through."""
        box = self._chamber.box_mm
        start = self._random.uniform(size=3) * box
        start[1] = box[1] - 1.0
        self._follow("muon", start, self._down(), self._random.uniform(2000, 20_000))

    def stopping(self) -> None:
        """Add a muon that stops, and its electron."""
        box = self._chamber.box_mm
        stop, way = self._random.uniform(0.1, 0.9, 3) * box, self._down()
        with np.errstate(divide="ignore"):
            length = np.where(way > 0, stop / way, (stop - box) / way).min()  # back to where it came in
        track = self._follow("muon", stop - 0.999 * length * way, way, kinetic_for("muon", 0.99 * length))
        if track.stopped and self._random.uniform() < _DECAYS:
            self._michel(track.end_mm)

    def pion(self) -> None:
        """Add a pion of the beam."""
        self._pion(self._front(), self._forward(0.1), self._random.uniform(300, 1500))

    def proton(self) -> None:
        """Add a proton of the beam."""
        self._follow("proton", self._front(), self._forward(0.2), self._random.uniform(150, 600))

    def shower(self) -> None:
        """Add an electron or a photon."""
        energy = float(np.exp(self._random.uniform(np.log(50), np.log(1500))))
        start = self._random.uniform(0.05, 0.95, 3) * self._chamber.box_mm
        self._quantum(start, self._forward(0.6), energy, photon=bool(self._random.uniform() < 0.5))

    def _pion(self, start: Floats, way: Floats, kinetic_mev: float) -> None:
        until = float(self._random.exponential(_INTERACTION_MM))
        track = self._follow("pion", start, way, kinetic_mev, until)
        if track.stopped:
            if self._random.uniform() < 0.5:  # pi+, by way of a muon of 1 mm
                self._michel(track.end_mm)
        elif track.interacted and track.kinetic_mev > 100:
            self._interact(track)

    def _interact(self, track: Track) -> None:
        energy, random = track.kinetic_mev, self._random
        for _ in range(random.poisson(1.5)):
            self._follow(
                "proton", track.end_mm, self._about(track.direction), random.uniform(30, max(60, 0.4 * energy))
            )
        for _ in range(random.poisson(0.6)):
            self._pion(track.end_mm, self._about(track.direction), energy * random.uniform(0.1, 0.5))
        if random.uniform() < 0.4:
            self._pi0(track.end_mm, self._about(track.direction), energy * random.uniform(0.2, 0.6))

    def _pi0(self, at: Floats, way: Floats, kinetic_mev: float) -> None:
        """Add the two photons of a neutral pion."""
        gamma = 1 + kinetic_mev / _PI0_MEV
        beta = np.sqrt(1 - 1 / gamma**2)
        axis = self._anywhere()
        for sign in (1, -1):
            along = sign * axis @ way
            energy = 0.5 * _PI0_MEV * gamma * (1 + beta * along)
            momentum = 0.5 * _PI0_MEV * (sign * axis + ((gamma - 1) * along + gamma * beta) * way)
            self._quantum(at, momentum / np.linalg.norm(momentum), energy, photon=True)

    def _michel(self, at: Floats) -> None:
        (energy,) = michel_energy(1, self._random)
        self._quantum(at, self._anywhere(), float(energy), michel=True)

    def _follow(self, name: str, start: Floats, way: Floats, kinetic_mev: float, until_mm: float = np.inf) -> Track:
        number = self._add(TRACK, False, _PDG[name], kinetic_mev)
        track = follow(name, start, way, kinetic_mev, self._chamber, self._random, particle=number, until_mm=until_mm)
        self._steps.append(track.steps)
        return track

    def _quantum(self, at: Floats, way: Floats, energy: float, *, photon: bool = False, michel: bool = False) -> None:
        number = self._add(EM, michel, _PDG["photon" if photon else "electron"], energy)
        heir = self._add(EM, False, _PDG["photon"], 0.0) if michel else number
        begun = (at[None], way[None], np.array([energy]), np.array([photon]), np.array([number]), np.array([heir]))
        self._quanta.append(Quanta(*begun))

    def _add(self, kind: int, michel: bool, pdg: int, kinetic_mev: float) -> int:
        self._rows.append((kind, michel, pdg, kinetic_mev))
        return len(self._rows) - 1

    def _down(self) -> Floats:
        """Return a direction from the sky: by the square of the cosine, through a level face."""
        cos, phi = self._random.uniform() ** 0.25, self._random.uniform(-np.pi, np.pi)
        sin = np.sqrt(1 - cos**2)
        return np.array([sin * np.cos(phi), -cos, sin * np.sin(phi)])

    def _forward(self, spread: float) -> Floats:
        return _normed(np.array([0.0, 0.0, 1.0]) + spread * self._random.normal(size=3))

    def _about(self, way: Floats) -> Floats:
        return _normed(way + 0.7 * self._random.normal(size=3))

    def _anywhere(self) -> Floats:
        return _normed(self._random.normal(size=3))

    def _front(self) -> Floats:
        start = self._random.uniform(0.1, 0.9, 3) * self._chamber.box_mm
        start[2] = 1.0
        return start


def make(beam: Beam, chamber: Chamber, random: np.random.Generator) -> tuple[Steps, Particles]:
    """Draw the particles of an event and let them go.

    Returns
    -------
    steps : Steps
        What they leave in the argon.
    particles : Particles
    """
    making = Making(chamber, random)
    for mean, add in (
        (beam.through, making.through),
        (beam.stopping, making.stopping),
        (beam.pions, making.pion),
        (beam.protons, making.proton),
        (beam.showers, making.shower),
    ):
        for _ in range(random.poisson(mean)):
            add()
    return making.finish()


def _normed(vector: Floats) -> Floats:
    normed: Floats = vector / np.linalg.norm(vector)
    return normed
