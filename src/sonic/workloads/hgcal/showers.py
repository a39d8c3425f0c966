"""How particles shower: spots of energy along and around their axes, with the fluctuations from shower to shower.

Electromagnetic showers follow Grindhammer and Peters (hep-ex/0001020, homogeneous media): a gamma distribution along
the axis whose two parameters fluctuate together, and a core and a tail around it, with radii of our own. Hadronic ones
begin after an exponential distance and are an electromagnetic and a hadronic part (R. K. Bock et al., NIM 186 (1981)
533), whose shares fluctuate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Endcap, Floats, Ints

KINDS = ("photon", "electron", "charged hadron", "neutral hadron")
PHOTON, ELECTRON, CHARGED, NEUTRAL = range(len(KINDS))

SPOTS_PER_GEV = 45.0
"""Of an electromagnetic shower in the electromagnetic part.

Their number and their energies fluctuate such that the resolution is about 22 % at 1 GeV, as CMS's prototype has it
(arXiv:2111.06855).
"""
MIP_PER_GEV = 85.0
"""Signal of an electromagnetic shower: some 100 crossings a GeV of layers that take 10 MeV, less 15 %."""
HADRONIC_RESPONSE = 0.7
"""Of the hadronic part of a shower, by the electromagnetic one's."""

_CRITICAL_GEV = 0.010
_ATOMIC_NUMBER = 60.0
_MOLIERE_CM = 2.5
_HADRONIC_CM = 6.0
_FARTHEST = 5.0
_UNSEEN_GEV = 1.0  # of the hadronic part: what binds nuclei goes unseen, by the root of so much times its energy


class Spots(NamedTuple):
    """Energy in the cells' planes.

    Attributes
    ----------
    particle, layer : int array [spots]
    x_cm, y_cm, energy_mip : float array [spots]
    """

    particle: Ints
    layer: Ints
    x_cm: Floats
    y_cm: Floats
    energy_mip: Floats


class Axes(NamedTuple):
    """Particles as they enter the endcap.

    Attributes
    ----------
    kind : int array [particles]
        Index in :data:`KINDS`.
    energy_gev : float array [particles]
    x_cm, y_cm : float array [particles]
        At the front face.
    """

    kind: Ints
    energy_gev: Floats
    x_cm: Floats
    y_cm: Floats


class _Parts(NamedTuple):
    """Parts of showers: gamma distributions in depth."""

    particle: Ints
    energy_gev: Floats  # as seen
    start: Floats  # in its own unit
    shape: Floats
    rate: Floats
    hadronic: bool


def spots(axes: Axes, random: np.random.Generator, endcap: Endcap) -> Spots:
    """Let particles shower.

    Parameters
    ----------
    axes : Axes
    random : Generator
    endcap : Endcap
    """
    slant = endcap.front_cm / np.sqrt(axes.x_cm**2 + axes.y_cm**2 + endcap.front_cm**2)
    electromagnetic = np.flatnonzero((axes.kind == PHOTON) | (axes.kind == ELECTRON))
    hadrons = np.flatnonzero((axes.kind == CHARGED) | (axes.kind == NEUTRAL))
    start = random.exponential(1.0, len(hadrons))  # interaction lengths
    # What it converts in does not count for an electron.
    conversion = random.exponential(9 / 7, len(electromagnetic)) * (axes.kind[electromagnetic] == PHOTON)
    parts = [
        _electromagnetic(electromagnetic, axes.energy_gev[electromagnetic], conversion, random),
        *_hadronic(hadrons, axes.energy_gev[hadrons], start, slant[hadrons], random, endcap),
    ]
    made = [_scatter(each, axes, slant, random, endcap) for each in parts]
    charged = (axes.kind[hadrons] == CHARGED)[:, None]
    before = charged & (endcap.depth_lambda < (start * slant[hadrons])[:, None])
    made.append(_track(hadrons, before, axes, random, endcap))
    return Spots(*(np.concatenate(columns) for columns in zip(*made, strict=True)))


def _electromagnetic(particle: Ints, energy_gev: Floats, start_x0: Floats, random: np.random.Generator) -> _Parts:
    shape, rate = _profile(energy_gev, random)
    return _Parts(particle, energy_gev, start_x0, shape, rate, hadronic=False)


def _profile(energy_gev: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw shape and rate (per radiation length) of longitudinal profiles.

    A mixture of two sets of the paper: means of the averaged profile, spreads and correlation of single showers, whose
    means are ``log(y - 0.812)`` and ``log(0.81 + (0.458 + 2.26 / Z) * y)``, for 5 to 10 % shorter showers. It stays,
    since what is trained has seen it.
    """
    y = np.log(np.maximum(energy_gev / _CRITICAL_GEV, 10.0))
    log_depth, log_shape = np.log(y - 0.858), np.log(0.21 + (0.492 + 2.38 / _ATOMIC_NUMBER) * y)
    spread_depth, spread_shape = 1 / (-1.4 + 1.26 * y), 1 / (-0.58 + 0.86 * y)
    together = 0.705 - 0.023 * y
    one, two = random.normal(size=(2, len(y)))
    other = together * one + np.sqrt(1 - together**2) * two
    depth = np.exp(log_depth + spread_depth * one)
    shape = np.maximum(np.exp(log_shape + spread_shape * other), 1.1)
    return shape, (shape - 1) / depth


def _hadronic(
    particle: Ints, energy_gev: Floats, start: Floats, slant: Floats, random: np.random.Generator, endcap: Endcap
) -> tuple[_Parts, _Parts]:
    log_energy = np.log(np.maximum(energy_gev, 1.5))
    mean = 1 - np.exp(-0.18 * log_energy)  # of the electromagnetic part
    share = random.beta(4 * mean, 4 * (1 - mean))
    shape = 0.6165 + 0.3183 * log_energy
    # Where in radiation lengths it begins: the two go differently with depth.
    edges_x0, edges_lambda = (np.concatenate([[0], each]) for each in (endcap.depth_x0, endcap.depth_lambda))
    start_x0 = np.interp(start * slant, edges_lambda, edges_x0, right=np.inf) / slant
    b, g = np.full(len(particle), 0.2198), 0.9099 - 0.0237 * log_energy
    hadronic_gev = random.gamma((1 - share) * energy_gev / _UNSEEN_GEV) * _UNSEEN_GEV
    return (
        _Parts(particle, share * energy_gev, start_x0, shape, b, hadronic=False),
        _Parts(particle, hadronic_gev * HADRONIC_RESPONSE, start, shape, g, hadronic=True),
    )


def _scatter(parts: _Parts, axes: Axes, slant: Floats, random: np.random.Generator, endcap: Endcap) -> Spots:
    number = random.poisson(parts.energy_gev * SPOTS_PER_GEV)
    part = np.repeat(np.arange(len(number)), number)
    particle = parts.particle[part]
    inside = random.gamma(parts.shape[part], 1 / parts.rate[part])
    depth = (parts.start[part] + inside) * slant[particle]
    layer = np.searchsorted(endcap.depth_lambda if parts.hadronic else endcap.depth_x0, depth)
    # A thicker absorber shows less of what happens in it.
    seen = layer < len(endcap)
    seen[seen] = random.uniform(size=int(seen.sum())) < 1 / endcap.weights[layer[seen]]
    part, particle, inside, layer = part[seen], particle[seen], inside[seen], layer[seen]
    age = inside / (parts.shape / parts.rate)[part]
    radius = _radius(age, random, hadronic=parts.hadronic)
    angle = random.uniform(-np.pi, np.pi, len(layer))
    scale = np.asarray(endcap.z_cm)[layer] / endcap.front_cm
    x_cm = axes.x_cm[particle] * scale + radius * np.cos(angle)
    y_cm = axes.y_cm[particle] * scale + radius * np.sin(angle)
    return Spots(particle, layer, x_cm, y_cm, random.exponential(MIP_PER_GEV / SPOTS_PER_GEV, len(layer)))


def _radius(age: Floats, random: np.random.Generator, *, hadronic: bool) -> Floats:
    """Draw distances from the axis; half of a core or a tail is within its radius, and both grow with depth."""
    unit_cm = _HADRONIC_CM if hadronic else _MOLIERE_CM
    age = np.minimum(age, 3.0)
    core, tail = (0.2 + 0.15 * age, 0.8 + 0.3 * age) if hadronic else (0.08 + 0.14 * age, 0.5 + 0.3 * age)
    size = unit_cm * np.where(random.uniform(size=len(age)) < 0.8, core, tail)
    most = _FARTHEST**2 / (1 + _FARTHEST**2)
    u = random.uniform(size=len(age)) * most
    radius: Floats = size * np.sqrt(u / (1 - u))
    return radius


def _track(particle: Ints, crossed: np.ndarray, axes: Axes, random: np.random.Generator, endcap: Endcap) -> Spots:
    """Give charged particles a signal in the layers that they cross before they shower."""
    which, layer = np.nonzero(crossed)
    owner = particle[which]
    scale = np.asarray(endcap.z_cm)[layer] / endcap.front_cm
    # Moyal's distribution, the minus logarithm of a squared normal number, has about the tail of Landau's.
    energy = np.maximum(1 - 0.12 * np.log(random.normal(size=len(owner)) ** 2), 0.1)
    return Spots(owner, layer, axes.x_cm[owner] * scale, axes.y_cm[owner] * scale, energy)
