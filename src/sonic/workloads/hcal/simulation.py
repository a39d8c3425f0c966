"""Events in the hadron calorimeter: collisions, pile-up of the crossings around, digis, and the truth.

Numbers are of the right order, not the experiment's. 3.5 pC for 1 GeV is what CMSSW's parameters of the Phase 1
photodetectors have (HBHEMethod2Parameters); ours are 0.2 GeV of transverse energy for each unit of eta times phi and
collision, about a third of the pile-up's density, 44 fC for a photoelectron, and a pedestal that dark current has
widened to 30 fC a slice. Charge beyond the converter's range is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.angles import wrap
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.pulse import PULSE, SATURATED, decode, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.hcal.geometry import Channels
    from sonic.workloads.hcal.pulse import Floats, PulseShape

SIMULATED = (-4, -3, -2, -1, 0, 1, 2, 3, 4)
"""Crossings whose pulses reach the slices."""
TRIGGERED = SIMULATED.index(0)
_HIT_ET_GEV = 0.25
"""Mean transverse energy of a deposit of pile-up in a channel."""
_DENSITY_GEV = 0.2
"""Transverse energy of a collision for each unit of eta times phi."""
_SHARE = 1.5
"""Depths over which what a shower leaves falls by e."""
_JET_WIDTH = 0.1
_MAX_ETA = 2.9


@dataclass(frozen=True)
class Beam:
    """What is simulated.

    Parameters
    ----------
    pileup : float
        Mean number of collisions of a crossing, in each of the crossings and in the triggered one.
    jets : float
        Mean number of jets of the triggered crossing.
    min_pt_gev, max_pt_gev : float
        Of jets.
    pt_power : float
        Of their spectrum: dN/dpT falls with it.
    time_sigma_ns : float
        Of a channel's pulse.
    photostatistics : bool
    """

    pileup: float = 50.0
    jets: float = 4.0
    min_pt_gev: float = 20.0
    max_pt_gev: float = 2000.0
    pt_power: float = 3.5
    time_sigma_ns: float = 1.0
    photostatistics: bool = True

    def __post_init__(self) -> None:
        if not all(0 <= each < math.inf for each in (self.pileup, self.jets, self.time_sigma_ns)):
            raise ConfigError(f"pile-up, jets and time_sigma_ns are 0 or more, given {self}")
        if not 0 < self.min_pt_gev < self.max_pt_gev or self.pt_power <= 1:
            raise ConfigError(f"jets have 0 < min_pt_gev < max_pt_gev and pt_power > 1, given {self}")


@dataclass(frozen=True)
class Conditions:
    """What is known of each channel, as calibration has it.

    Parameters
    ----------
    pedestal_fc, noise_fc : float array [channels]
        Of a slice without signal: mean and standard deviation.
    baseline_fc : float array [channels]
        Standard deviation of what all slices of a digi are off together.
    gain_gev : float array [channels]
        Of 1 fC.
    photoelectron_fc : float array [channels]
    """

    pedestal_fc: Floats
    noise_fc: Floats
    baseline_fc: Floats
    gain_gev: Floats
    photoelectron_fc: Floats

    def __len__(self) -> int:
        return len(self.gain_gev)

    def __getitem__(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Conditions:
        """Return those of some of the channels."""
        return Conditions(
            self.pedestal_fc[which],
            self.noise_fc[which],
            self.baseline_fc[which],
            self.gain_gev[which],
            self.photoelectron_fc[which],
        )


@dataclass(frozen=True)
class Event:
    """Digis, and what caused them.

    Parameters
    ----------
    codes : uint8 array [channels, 8]
    deposits_gev : float array [channels, 9]
        True energy of each of the crossings :data:`SIMULATED`.
    """

    codes: NDArray[np.uint8]
    deposits_gev: Floats

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def charge_fc(self) -> Floats:
        """Raw charges, with the pedestal; float array [channels, 8]."""
        return decode(self.codes)

    @property
    def energy_gev(self) -> Floats:
        """True energy of the triggered crossing; float array [channels]."""
        return self.deposits_gev[:, TRIGGERED]

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """Whether a slice has the converter's last code; bool array [channels]."""
        saturated: NDArray[np.bool_] = (self.codes == SATURATED).any(axis=1)
        return saturated


def conditions(seed: int) -> Conditions:
    """Draw the calibration of all channels: each differs from its mean by some percent."""
    random = np.random.default_rng((seed, 1))
    number = len(channels())
    return Conditions(
        pedestal_fc=random.normal(90.0, 8.0, number).clip(60, 120),
        noise_fc=random.normal(30.0, 2.0, number).clip(20, 40),
        baseline_fc=np.full(number, 5.0),
        gain_gev=random.normal(1.0, 0.05, number).clip(0.8, 1.2) / 3500.0,
        photoelectron_fc=random.normal(44.0, 1.0, number).clip(40, 48),
    )


def events(number: int, beam: Beam | None = None, *, known: Conditions, seed: int) -> list[Event]:
    """Simulate events in all channels; the same seed gives the same ones.

    Parameters
    ----------
    number : int
    beam : Beam, optional
    known : Conditions
    seed : int
    """
    return [event(beam or Beam(), known, np.random.default_rng((seed, 2, i))) for i in range(number)]


def event(
    beam: Beam,
    known: Conditions,
    random: np.random.Generator,
    jets: Floats | None = None,
    shape: PulseShape = PULSE,
    *,
    signal_gev: Floats | None = None,
) -> Event:
    """Simulate one event in all channels.

    Parameters
    ----------
    beam : Beam
    known : Conditions
    random : Generator
    jets : float array [jets, 3], optional
        pT in GeV, eta and phi of the triggered crossing's jets, as a generator has them; else they are drawn.
    shape : PulseShape
    signal_gev : float array [channels], optional
        What the triggered crossing leaves besides pile-up, in place of jets.

    Raises
    ------
    ConfigError
        If there are not conditions for all channels, or jets or the signal have another shape.
    """
    where = channels()
    if len(known) != len(where):
        raise ConfigError(f"expected conditions of {len(where)} channels, given {len(known)}")
    deposits = _pileup(where, beam, random)
    if signal_gev is None:
        signal_gev = _leave(_jets(beam, random) if jets is None else jets, where, random)
    elif signal_gev.shape != (len(where),):
        raise ConfigError(f"expected a signal of shape [{len(where)}], given {list(signal_gev.shape)}")
    deposits[:, TRIGGERED] += signal_gev
    return Event(digitise(deposits, beam, known, random, shape), deposits)


def digitise(
    deposits_gev: Floats, beam: Beam, known: Conditions, random: np.random.Generator, shape: PulseShape = PULSE
) -> NDArray[np.uint8]:
    """Turn deposits into codes.

    Parameters
    ----------
    deposits_gev : float array [channels, 9]
        In the crossings :data:`SIMULATED`.
    beam : Beam
        Its time resolution and photostatistics.
    known : Conditions
        Of these channels.
    random : Generator
    shape : PulseShape

    Returns
    -------
    uint8 array [channels, 8]
    """
    number = len(deposits_gev)
    row, crossing = np.nonzero(deposits_gev)
    delays = random.normal(0.0, beam.time_sigma_ns, len(row))
    pulses = deposits_gev[row, crossing, None] * shape.fractions(np.array(SIMULATED)[crossing], delays)
    charge = np.zeros((number, pulses.shape[1]))
    first = np.flatnonzero(np.diff(row, prepend=-1))  # rows are in order
    if len(row):
        charge[row[first]] = np.add.reduceat(pulses, first, axis=0)
    charge /= known.gain_gev[:, None]
    if beam.photostatistics:
        electron = known.photoelectron_fc[:, None]
        charge = random.poisson(charge / electron) * electron
    charge += known.pedestal_fc[:, None] + random.normal(size=charge.shape) * known.noise_fc[:, None]
    charge += (random.normal(size=number) * known.baseline_fc)[:, None]
    return encode(charge)


def depth_share(where: Channels) -> Floats:
    """Return which part of a tower's energy a depth has on average; float array [channels]."""
    weight = np.exp(-where.depth / _SHARE)
    key = (where.ieta + 100) * 100 + where.iphi
    _, tower = np.unique(key, return_inverse=True)
    share: Floats = weight / np.bincount(tower, weight)[tower]
    return share


def _pileup(where: Channels, beam: Beam, random: np.random.Generator) -> Floats:
    collisions = random.poisson(beam.pileup, len(SIMULATED))
    hits = _DENSITY_GEV * where.area * depth_share(where) / _HIT_ET_GEV
    number = random.poisson(hits[:, None] * collisions)
    # A sum of exponentials is a gamma distribution.
    energies: Floats = random.standard_gamma(number) * (_HIT_ET_GEV * np.cosh(where.eta))[:, None]
    return energies


def _jets(beam: Beam, random: np.random.Generator) -> Floats:
    number = random.poisson(beam.jets)
    low, high = (edge ** (1 - beam.pt_power) for edge in (beam.min_pt_gev, beam.max_pt_gev))
    pt = (low + random.uniform(size=number) * (high - low)) ** (1 / (1 - beam.pt_power))
    eta = random.uniform(-_MAX_ETA, _MAX_ETA, number)
    return np.stack([pt, eta, random.uniform(-np.pi, np.pi, number)], axis=1)


def _leave(jets: Floats, where: Channels, random: np.random.Generator) -> Floats:
    if jets.ndim != 2 or jets.shape[1] != 3:
        raise ConfigError(f"expected jets of shape [jets, 3], given {list(jets.shape)}")
    energy = np.zeros(len(where))
    eta, phi, share = where.eta, where.phi, depth_share(where) * where.area
    for pt, jet_eta, jet_phi in jets:
        if abs(jet_eta) >= 3.0:
            continue  # it goes elsewhere
        near = np.flatnonzero(np.abs(eta - jet_eta) < 5 * _JET_WIDTH)
        apart = wrap(phi[near] - jet_phi)
        weight = share[near] * np.exp(-((eta[near] - jet_eta) ** 2 + apart**2) / (2 * _JET_WIDTH**2))
        weight *= random.standard_gamma(0.4, len(near))  # few hadrons carry most of it
        hadronic = random.uniform(0.3, 0.8)  # the rest is the electromagnetic calorimeter's
        energy[near] += hadronic * pt * np.cosh(jet_eta) * weight / max(weight.sum(), 1e-300)
    energy[energy < 1e-6] = 0.0
    return energy
