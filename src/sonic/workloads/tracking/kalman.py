"""A track fit: a Kalman filter from the outside in, for all tracks of a batch at once.

The state is the track's parameters at the perigee, so that following it from layer to layer changes nothing but what
is known of it: at each layer the hit is taken in, then what the layer's material may have done to the direction is
added to the covariance. In the end it is that of the track where it was made, before it met any material.

Measurements are linearised about the track of the round before, the first about a helix through three hits, and the
filter starts knowing next to nothing: each round is then the least-squares fit with scattering.

All arithmetic is element by element. A track's result is the same to the bit, whichever tracks it is fitted with.

R. Frühwirth, "Application of Kalman filtering to track and vertex fitting", NIM A262 (1987) 444.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sonic.errors import InvalidRequest
from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.helix import COT, QPT, cross, jacobian, kicks, perigee

if TYPE_CHECKING:
    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.helix import Crossing

Bools = NDArray[np.bool_]

LEAST_HITS = 3
"""Of a track that is fitted."""
ROUNDS = 2
"""After them, further ones move no parameter of a track of 0.6 GeV by more than a tenth of its error."""
_AT_ONCE = 2048
"""Tracks whose covariances stay in the processor's caches."""
_UNKNOWN = (10.0, 1000.0, 1.0, 10.0, 10.0)
"""Standard deviations to begin with: in mm, mm, rad, 1 and 1/GeV."""


class Fitted(NamedTuple):
    """Tracks.

    Attributes
    ----------
    parameters : float array [tracks, 5]
        At the perigee; NaN where the fit is not good.
    covariance : float array [tracks, 5, 5]
    chi2 : float array [tracks]
    degrees_of_freedom : int array [tracks]
        Two for each hit, less five; 0 where the fit is not good.
    good : bool array [tracks]
        Whether there were hits enough, and the track reaches them.
    """

    parameters: Floats
    covariance: Floats
    chi2: Floats
    degrees_of_freedom: NDArray[np.int32]
    good: Bools


def fit(hits: Floats, barrel: Barrel = BARREL) -> Fitted:
    """Fit tracks.

    Parameters
    ----------
    hits : float array [tracks, layers, 2]
        phi and z in mm of the hit on each layer. No hit is where one of them is not finite.
    barrel : Barrel

    Raises
    ------
    InvalidRequest
        If the array has not that shape.
    """
    if hits.ndim != 3 or hits.shape[1:] != (len(barrel), 2):
        raise InvalidRequest(f"expected hits of shape [tracks, {len(barrel)}, 2], given {list(hits.shape)}")
    parts = [_fit(hits[start : start + _AT_ONCE], barrel) for start in range(0, max(len(hits), 1), _AT_ONCE)]
    if len(parts) == 1:
        return parts[0]
    return Fitted._make(np.concatenate(each) for each in zip(*parts, strict=True))


def _fit(hits: Floats, barrel: Barrel) -> Fitted:
    there = (np.isfinite(hits[..., 0]) & np.isfinite(hits[..., 1])).T  # [layers, tracks]
    clean = np.where(there, np.moveaxis(np.asarray(hits, np.float64), 2, 0).swapaxes(1, 2), 0.0)
    enough = there.sum(axis=0) >= LEAST_HITS
    with np.errstate(all="ignore"):  # of what is no track
        tracks = seed(clean[0], clean[1], there, barrel)
        for _ in range(ROUNDS):
            tracks, covariance, chi2, reached = _filter(tracks, clean[0], clean[1], there, barrel)
        variances = np.diagonal(covariance).T
        known = np.isfinite(tracks).all(axis=0) & (np.isfinite(variances) & (variances > 0)).all(axis=0)
        good = enough & reached & known & np.isfinite(chi2)
    degrees = np.where(good, 2 * there.sum(axis=0) - 5, 0).astype(np.int32)
    lost = ~good
    parameters, spread = np.ascontiguousarray(tracks.T), np.ascontiguousarray(np.moveaxis(covariance, 2, 0))
    parameters[lost], spread[lost] = np.nan, np.nan
    return Fitted(parameters, spread, np.where(good, chi2, np.nan), degrees, good)


def seed(phi: Floats, z_mm: Floats, there: Bools, barrel: Barrel = BARREL) -> Floats:
    """Draw helices through the first, the last and a middle hit.

    Parameters
    ----------
    phi, z_mm : float array [layers, tracks]
    there : bool array [layers, tracks]

    Returns
    -------
    float array [5, tracks]
        Without meaning where there are less than three hits.
    """
    layers = np.arange(len(there))[:, None]
    first = np.argmax(there, axis=0)
    last = len(there) - 1 - np.argmax(there[::-1], axis=0)
    apart = np.abs(layers - (first + last) / 2.0) + 1e3 * (~there | (layers == first) | (layers == last))
    middle = np.argmin(apart, axis=0)
    radii = np.asarray(barrel.radii_mm)
    own = np.arange(there.shape[1])
    return through([(radii[at], phi[at, own], z_mm[at, own]) for at in (first, middle, last)], barrel)


def through(points: list[tuple[Floats, Floats, Floats]], barrel: Barrel = BARREL) -> Floats:
    """Draw helices through three points each, from the inside out.

    Parameters
    ----------
    points : list of three tuples of float arrays [tracks]
        Radius in mm, phi, z in mm.

    Returns
    -------
    float array [5, tracks]
    """
    (r1, f1, z1), (r2, f2, _), (r3, f3, z3) = points
    # Seen from the first point, turned so that it lies on the x axis.
    x2, y2 = r2 * np.cos(f2 - f1) - r1, r2 * np.sin(f2 - f1)
    x3, y3 = r3 * np.cos(f3 - f1) - r1, r3 * np.sin(f3 - f1)
    chord = np.sqrt(x3**2 + y3**2)
    others = np.sqrt(x2**2 + y2**2) * np.sqrt((x3 - x2) ** 2 + (y3 - y2) ** 2)
    omega = 2 * (x2 * y3 - y2 * x3) / (chord * others)
    half_turn = np.arcsin(np.clip(0.5 * omega * chord, -1, 1))
    path_mm = chord / np.sinc(half_turn / np.pi)
    cot = (z3 - z1) / path_mm
    psi = f1 + np.arctan2(y3, x3) - half_turn
    return perigee(r1, f1, z1, psi, cot, -omega / barrel.bend_gev_per_mm, barrel)


def _filter(
    about: Floats, phi: Floats, z_mm: Floats, there: Bools, barrel: Barrel
) -> tuple[Floats, Floats, Floats, Bools]:
    number = about.shape[1]
    shift = np.zeros((5, number))  # from the track that it is linearised about
    covariance = unknown(number)
    chi2 = np.zeros(number)
    reached = np.ones(number, bool)
    begun = np.zeros(number, bool)
    for layer in reversed(range(len(barrel))):
        seen = there[layer]
        at = cross(about, barrel.radii_mm[layer], barrel)
        begun |= seen
        reached &= at.reached | ~begun
        of_phi, of_z = jacobian(about, at, barrel.radii_mm[layer], barrel)
        for row, miss, sigma in (
            (of_phi, wrap(phi[layer] - at.phi), barrel.rphi_resolution_mm[layer] / barrel.radii_mm[layer]),
            (of_z, z_mm[layer] - at.z_mm, barrel.z_resolution_mm[layer]),
        ):
            shift, covariance, added = take(shift, covariance, row, miss, sigma, seen)
            chi2 = chi2 + added
        covariance = scatter(covariance, about, at, layer, barrel, begun)
    tracks = about + shift
    return tracks, covariance, chi2, reached


def unknown(number: int) -> Floats:
    """Return the covariance of tracks that nothing is known of; float array [5, 5, number]."""
    covariance: Floats = np.diag(np.square(_UNKNOWN))[:, :, None] * np.ones(number)
    return covariance


def take(
    state: Floats, covariance: Floats, row: Floats, miss: Floats, sigma: float, seen: Bools
) -> tuple[Floats, Floats, Floats]:
    """Take one coordinate of a hit in.

    Parameters
    ----------
    state : float array [5, tracks]
        Relative to what `miss` is relative to.
    covariance : float array [5, 5, tracks]
    row : float array [5, tracks]
        The coordinate's derivative by the state.
    miss : float array [tracks]
        Measured, less expected at state zero.
    sigma : float
        The measurement's standard deviation.
    seen : bool array [tracks]
        Others stay as they are.

    Returns
    -------
    state, covariance, chi2
        What is added to chi2: float array [tracks].
    """
    spread = _dot(covariance, row)
    variance = _inner(row, spread) + sigma**2
    gain = np.where(seen, spread / variance, 0.0)
    left = miss - _inner(row, state)
    return (
        state + gain * left,
        covariance - gain[:, None] * spread[None, :],
        np.where(seen, left**2 / variance, 0.0),
    )


def scatter(covariance: Floats, tracks: Floats, at: Crossing, layer: int, barrel: Barrel, where: Bools) -> Floats:
    """Add what a layer's material may have done to the direction."""
    by_psi, by_cot = kicks(tracks, at, barrel.radii_mm[layer], barrel)
    squared = 1 + tracks[COT] ** 2  # 1 / sin^2 theta
    angle = np.where(where, barrel.scattering(layer, tracks[COT], tracks[QPT], at.cos_beta), 0.0)
    kicked, dipped = by_psi * (angle * np.sqrt(squared)), by_cot * (angle * squared)
    added: Floats = kicked[:, None] * kicked[None, :] + dipped[:, None] * dipped[None, :]
    return covariance + added


def _dot(matrix: Floats, vector: Floats) -> Floats:
    total: Floats = matrix[:, 0] * vector[0]
    for i in range(1, len(vector)):
        total = total + matrix[:, i] * vector[i]
    return total


def _inner(one: Floats, other: Floats) -> Floats:
    total: Floats = one[0] * other[0]
    for i in range(1, len(one)):
        total = total + one[i] * other[i]
    return total
