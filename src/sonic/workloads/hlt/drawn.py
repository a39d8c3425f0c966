"""Collisions with jets that are drawn, not generated: for where there is no Pythia, and where it would take too long.

Two jets back to back, sometimes a third, sometimes one that nobody sees. A jet's momentum is shared among pions,
photons and neutral kaons around its axis; in a jet of a bottom quark most of it goes by way of a hadron that decays
some millimetres away. The numbers are of the right order and come from no measurement.
"""

from __future__ import annotations

import numpy as np

from sonic.workloads.simulation.pythia import Collisions, Particles, concatenate

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_MIN_PT_GEV, _MAX_PT_GEV, _PT_POWER = 40.0, 800.0, 3.0
_MAX_ETA = 1.8
_SOFTER = 0.3
"""Of a third jet: part of the events that have one, and most of the leading one's momentum that it takes."""
_BOTTOM = 0.5
_INVISIBLE = 0.1
_KINDS = (211, -211, 22, 130)
_SHARES = (0.31, 0.31, 0.26, 0.12)
_MASSES_GEV = (0.13957, 0.13957, 0.0, 0.4976)
_ACROSS_GEV = 0.4
"""Mean momentum of a particle across its jet's axis."""
_B_SHARE, _B_MASS_GEV, _B_LIFE_CM, _B_DAUGHTERS = 0.7, 5.28, 0.046, 7
_B_CODE, _NEUTRINO, _GLUON, _BOTTOM_CODE = 511, 12, 21, 5


def collisions(events: int, seed: int) -> Collisions:
    """Draw collisions; the same number and seed give the same ones.

    Parameters
    ----------
    events : int
    seed : int

    Returns
    -------
    Collisions
        As :func:`sonic.workloads.simulation.pythia.generate` gives them.
    """
    parts: list[list[Particles]] = [[], [], []]
    for number in range(events):
        random = np.random.default_rng((seed, 11, number))
        for jet in _jets(random):
            for part, rows in zip(parts, _jet(*jet, random), strict=True):
                part.append(_particles(number, rows))
    stable, heavy, partons = (concatenate([_particles(0, np.empty((0, 9))), *part]) for part in parts)
    return Collisions(stable, heavy, partons, events)


def _jets(random: np.random.Generator) -> list[tuple[float, float, float, int]]:
    """Momenta, eta, phi and flavour."""
    low, high = (edge ** (1 - _PT_POWER) for edge in (_MIN_PT_GEV, _MAX_PT_GEV))
    pt = (low + random.uniform() * (high - low)) ** (1 / (1 - _PT_POWER))
    phi = random.uniform(-np.pi, np.pi)
    flavour = _BOTTOM_CODE if random.uniform() < _BOTTOM else _GLUON
    back = _NEUTRINO if random.uniform() < _INVISIBLE else flavour
    balance = np.array([-pt * np.cos(phi), -pt * np.sin(phi)])
    made = [(pt, random.uniform(-_MAX_ETA, _MAX_ETA), phi, flavour)]
    if random.uniform() < _SOFTER:
        third, at = pt * random.uniform(0.1, _SOFTER), phi + random.uniform(1.0, 5.0)
        made.append((third, random.uniform(-_MAX_ETA, _MAX_ETA), at, _GLUON))
        balance -= third * np.array([np.cos(at), np.sin(at)])
    eta, at = random.uniform(-_MAX_ETA, _MAX_ETA), float(np.arctan2(*balance[::-1]))
    return [*made, (float(np.hypot(*balance)), eta, at, back)]


def _jet(pt: float, eta: float, phi: float, flavour: int, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Stable particles, heavy hadrons and partons of a jet; float arrays [n, 9], see :func:`_particles`."""
    axis = np.array([[flavour, 0, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta), 0, 0, 0]])
    none = np.empty((0, 9))
    if flavour == _NEUTRINO:
        return axis, none, none
    number = max(3, random.poisson(max(6 + 6 * np.log(pt / 10), 1)))
    if flavour != _BOTTOM_CODE:
        return _fragments(pt, eta, phi, np.zeros(3), number, random), none, axis
    hadron = axis.copy()
    momentum = hadron[0, 2:5] = _B_SHARE * axis[0, 2:5]
    hadron[0, 0], hadron[0, 5] = _B_CODE, np.hypot(np.linalg.norm(momentum), _B_MASS_GEV)
    flight_cm = random.exponential(_B_LIFE_CM) * momentum / _B_MASS_GEV
    daughters = max(3, random.poisson(_B_DAUGHTERS))
    decay = _fragments(_B_SHARE * pt, eta, phi, flight_cm, daughters, random, 3 * _ACROSS_GEV)
    rest = _fragments((1 - _B_SHARE) * pt, eta, phi, np.zeros(3), 1 + number // 2, random)
    return np.concatenate([decay, rest]), hadron, axis


def _fragments(
    pt: float,
    eta: float,
    phi: float,
    where_cm: Floats,
    number: int,
    random: np.random.Generator,
    across_gev: float = _ACROSS_GEV,
) -> Floats:
    share = random.dirichlet(np.full(number, 0.7)).clip(1e-4, None)
    kind = random.choice(len(_KINDS), number, p=_SHARES)
    own = share * pt
    apart = np.minimum(random.exponential(across_gev, number) / own, 0.5)
    turn = random.uniform(-np.pi, np.pi, number)
    etas, phis = eta + apart * np.cos(turn), phi + apart * np.sin(turn)
    momentum, code = own * np.cosh(etas), np.array(_KINDS)[kind]
    return np.stack(
        [
            code,
            np.where(np.abs(code) == 211, np.sign(code), 0),
            own * np.cos(phis),
            own * np.sin(phis),
            own * np.sinh(etas),
            np.hypot(momentum, np.array(_MASSES_GEV)[kind]),
            *np.repeat(where_cm[:, None], number, axis=1),
        ],
        axis=1,
    )


def _particles(event: int, rows: Floats) -> Particles:
    """Particles from rows of code, charge, px, py, pz, energy, and where they were made."""
    px, py, pz, energy, vx, vy, vz = rows[:, 2:].T
    pdg_id, charge = rows[:, :2].T.astype(np.int32)
    number = np.full(len(rows), event, np.int64)
    return Particles(number, pdg_id, charge, px, py, pz, energy, vx, vy, vz, np.zeros(len(rows), np.int32))
