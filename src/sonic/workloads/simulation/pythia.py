"""Proton collisions from Pythia 8 as flat arrays: stable particles, heavy-flavour hadrons, partons."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.errors import ConfigError
from sonic.workloads.simulation import decays as decaying

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sonic.workloads.simulation.decays import Decays

_NEUTRINOS = (12, 14, 16)
_CHARGE = {11: -1, 13: -1, 211: 1, 321: 1, 2212: 1, 3112: -1, 3222: 1, 3312: -1, 3334: -1}
_MM_TO_CM = 0.1
PION_MASS_GEV = 0.13957


@dataclass(frozen=True, slots=True)
class Particles:
    """Particles of many events, flat, ordered by event.

    Attributes
    ----------
    event : int64 [n]
        Number of the event within the sample.
    pdg_id, charge : int32 [n]
    px, py, pz, energy : float64 [n]
        GeV.
    vx, vy, vz : float64 [n]
        Where the particle was produced, cm.
    collision : int32 [n]
        0 for the hard collision, 1 and up for pile-up.
    """

    event: NDArray[np.int64]
    pdg_id: NDArray[np.int32]
    charge: NDArray[np.int32]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    energy: NDArray[np.float64]
    vx: NDArray[np.float64]
    vy: NDArray[np.float64]
    vz: NDArray[np.float64]
    collision: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, index: Any) -> Particles:
        return Particles(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def pt(self) -> NDArray[np.float64]:
        """Transverse momentum, GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> NDArray[np.float64]:
        """Pseudorapidity of the momentum."""
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-9))

    @property
    def phi(self) -> NDArray[np.float64]:
        """Azimuth of the momentum, in (-pi, pi]."""
        return np.arctan2(self.py, self.px)

    @property
    def invisible(self) -> NDArray[np.bool_]:
        """Whether no detector sees it."""
        return np.isin(np.abs(self.pdg_id), _NEUTRINOS)


def concatenate(parts: Sequence[Particles]) -> Particles:
    """Join samples and order them by event, keeping the order within each event's parts."""
    joined = Particles(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Particles)))
    return joined[np.argsort(joined.event, kind="stable")]


@dataclass(frozen=True, slots=True)
class Collisions:
    """What a generator block holds.

    Attributes
    ----------
    stable : Particles
        Final particles, invisible ones included.
    heavy : Particles
        Bottom and charm hadrons without a daughter of the same heavy flavour.
    partons : Particles
        Quarks and gluons on the point of hadronising (Pythia's status 71 and 72).
    events : int
    decays : Decays
        Of top quarks, W, Z and Higgs bosons.
    """

    stable: Particles
    heavy: Particles
    partons: Particles
    events: int
    decays: Decays = field(default_factory=decaying.none)


def heavy_quark(pdg_id: NDArray[np.int32]) -> NDArray[np.int32]:
    """5 for hadrons with a bottom quark, 4 for those with charm and no bottom, 0 for all else."""
    code = np.abs(pdg_id)
    digits = np.stack([code // 1000 % 10, code // 100 % 10, code // 10 % 10])
    hadron = (code > 100) & (code < 1_000_000_000) & (digits[2] > 0)
    heaviest = digits.max(axis=0)
    return np.where(hadron & (heaviest >= 4), heaviest, 0).astype(np.int32)


def generate(settings: Sequence[str], events: int, chunk: int = 250) -> Collisions:
    """Generate collisions.

    Parameters
    ----------
    settings : sequence of str
        Pythia's settings, the seed among them: the same settings give the same events.
    events : int
    chunk : int
        Events taken from Pythia at a time.

    Raises
    ------
    ConfigError
        If pythia8mc is not installed or Pythia refuses the settings.
    """
    try:
        import pythia8mc
    except ImportError:
        raise ConfigError("generating events needs pythia8mc: pip install 'sonic-hep[generate]'") from None
    pythia = pythia8mc.Pythia("", False)
    for line in settings:
        if not pythia.readString(line):
            raise ConfigError(f"Pythia does not know the setting {line!r}")
    if not pythia.init():
        raise ConfigError(f"Pythia could not start with {'; '.join(settings)}")
    stable, heavy, partons, decays = [], [], [], []
    for start, batch in _batches(pythia, events, chunk):
        flat, offsets = _flatten(batch, start)
        status = np.asarray(ak.flatten(batch.prt.status))
        flavour = heavy_quark(flat.pdg_id)
        stable.append(flat[status > 0])
        heavy.append(flat[_last_of_flavour(batch, flavour, offsets)])
        strong = (np.abs(flat.pdg_id) <= 5) | (flat.pdg_id == 21)
        partons.append(flat[strong & np.isin(np.abs(status), (71, 72))])
        decays.append(decaying.find(flat.event, flat.pdg_id, flat.eta, flat.phi, _daughters(batch, offsets)))
    return Collisions(
        concatenate(stable), concatenate(heavy), concatenate(partons), events, decaying.concatenate(decays)
    )


def _batches(pythia: Any, events: int, chunk: int) -> Iterator[tuple[int, ak.Array]]:
    done = 0
    while done < events:
        batch = pythia.nextBatch(min(chunk, events - done))
        if len(batch) == 0:
            raise ConfigError(f"Pythia failed on every one of {min(chunk, events - done)} events")
        yield done, batch
        done += len(batch)  # failed events are left out: go on until there are enough


def _flatten(batch: ak.Array, first: int) -> tuple[Particles, NDArray[np.int64]]:
    """Flat particles of a batch whose first event has the given number, and where each event starts."""
    records = batch.prt
    counts = np.asarray(ak.num(records.id))
    offsets = np.concatenate([[0], np.cumsum(counts)])

    def flat(column: ak.Array) -> NDArray[Any]:
        return np.asarray(ak.flatten(column))

    vertex = records.vProd
    pdg_id = flat(records.id).astype(np.int32)
    code = np.abs(pdg_id)
    charge = np.zeros(len(pdg_id), np.int32)
    for known, sign in _CHARGE.items():
        charge[code == known] = sign
    charge *= np.sign(pdg_id)
    position = (flat(ak.fill_none(getattr(vertex, axis), 0.0)) * _MM_TO_CM for axis in ("px", "py", "pz"))
    vx, vy, vz = position
    particles = Particles(
        event=np.repeat(np.arange(first, first + len(counts)), counts),
        pdg_id=pdg_id,
        charge=charge,
        px=flat(records.p.px),
        py=flat(records.p.py),
        pz=flat(records.p.pz),
        energy=flat(records.p.e),
        vx=vx,
        vy=vy,
        vz=vz,
        collision=np.zeros(len(pdg_id), np.int32),
    )
    return particles, offsets


def _daughters(batch: ak.Array, offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of each particle's first and last daughter; -1: none."""
    first, last = (np.asarray(ak.flatten(batch.prt[name])).astype(np.int64) for name in ("daughter1", "daughter2"))
    shift = np.repeat(offsets[:-1], np.diff(offsets))
    return np.where(first > 0, first + shift, -1), np.where(first > 0, np.maximum(first, last) + shift, -1)


def _last_of_flavour(batch: ak.Array, flavour: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Heavy hadrons none of whose daughters has the same heavy quark."""
    first, last = _daughters(batch, offsets)
    keep = np.zeros(len(flavour), bool)
    for quark in (4, 5):
        has = flavour == quark
        before = np.concatenate([[0], np.cumsum(has)])
        keep |= has & (before[last + 1] - before[np.maximum(first, 0)] == 0)
    return keep
