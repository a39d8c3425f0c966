"""Where a helix crosses a cylinder, and what that depends on. Elementwise: no track sees another.

With the signed curvature ``omega``, the direction ``psi`` turns by ``omega`` times the transverse path. ``beta`` is the
angle from the radius to the direction. Along a track ``r sin(beta) - omega r^2 / 2`` stays the same, which is what
everything here rests on; no formula divides by the curvature, so straight tracks need no case of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.angles import wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.tracking.detector import Barrel, Floats

D0, Z0, PHI, COT, QPT = range(5)
NAMES = ("d0", "z0", "phi", "cot theta", "q/pT")

_STEEPEST = 0.99
"""Of sin(beta): a track that crosses more obliquely counts as not reaching the layer."""


class Crossing(NamedTuple):
    """Tracks on a layer; float arrays [tracks].

    Attributes
    ----------
    phi, z_mm : array
        Where.
    psi : array
        Direction there.
    cos_beta, sin_beta : array
    turn : array
        Of the direction since the perigee.
    path_mm : array
        Transverse, since the perigee.
    reached : array of bool
        Others curl up before; what else is said of these is of a track that does not.
    """

    phi: Floats
    z_mm: Floats
    psi: Floats
    cos_beta: Floats
    sin_beta: Floats
    turn: Floats
    path_mm: Floats
    reached: NDArray[np.bool_]


def cross(tracks: Floats, radius_mm: float, barrel: Barrel) -> Crossing:
    """Follow tracks from the perigee to a radius.

    Parameters
    ----------
    tracks : float array [5, tracks]
    radius_mm : float
    barrel : Barrel
        For its field.
    """
    omega = -barrel.bend_gev_per_mm * tracks[QPT]
    offset = -tracks[D0]
    invariant = offset - 0.5 * omega * offset**2
    sine = invariant / radius_mm + 0.5 * omega * radius_mm
    reached = np.abs(sine) < _STEEPEST
    sin_beta = np.clip(sine, -_STEEPEST, _STEEPEST)
    cos_beta = np.sqrt(1 - sin_beta**2)
    turn, path_mm = _since_perigee(omega, radius_mm * sin_beta, radius_mm * cos_beta)
    psi = tracks[PHI] + turn
    phi = wrap(psi - np.arcsin(sin_beta))
    return Crossing(phi, tracks[Z0] + tracks[COT] * path_mm, psi, cos_beta, sin_beta, turn, path_mm, reached)


def perigee(
    radius_mm: Floats, phi: Floats, z_mm: Floats, psi: Floats, cot: Floats, qpt: Floats, barrel: Barrel
) -> Floats:
    """Return tracks by their perigees, from a point and the direction there.

    Parameters
    ----------
    radius_mm, phi, z_mm : float array [tracks]
        The point.
    psi, cot, qpt : float array [tracks]
        Azimuth of the direction there, cot theta, q/pT.
    barrel : Barrel
        For its field.

    Returns
    -------
    float array [5, tracks]
    """
    omega = -barrel.bend_gev_per_mm * qpt
    along, across = radius_mm * np.cos(psi - phi), radius_mm * np.sin(psi - phi)
    invariant = across - 0.5 * omega * radius_mm**2
    offset = 2 * invariant / (1 + np.sqrt(np.maximum(1 - 2 * omega * invariant, 0)))
    turn, path_mm = _since_perigee(omega, across, along)
    return np.stack([-offset, z_mm - cot * path_mm, wrap(psi - turn), cot, qpt])


def jacobian(tracks: Floats, at: Crossing, radius_mm: float, barrel: Barrel) -> tuple[Floats, Floats]:
    """Differentiate where tracks cross a layer by their parameters.

    Returns
    -------
    of_phi, of_z : float array [5, tracks]
    """
    along, normal = _bent(at)
    cosine, sine = np.cos(at.turn), np.sin(at.turn)
    slope = at.sin_beta / at.cos_beta
    per_mm = 1 / (radius_mm * at.cos_beta)
    zero, one = np.zeros_like(cosine), np.ones_like(cosine)
    bend = -barrel.bend_gev_per_mm
    of_phi = np.stack([cosine * per_mm, zero, one, zero, bend * normal * per_mm])
    of_z = np.stack(
        [
            tracks[COT] * (cosine * slope - sine),
            one,
            zero,
            at.path_mm,
            bend * tracks[COT] * (normal * slope - along),
        ]
    )
    return of_phi, of_z


def kicks(tracks: Floats, at: Crossing, radius_mm: float, barrel: Barrel) -> tuple[Floats, Floats]:
    """Differentiate the parameters by the direction on a layer, the point and the momentum being kept.

    Returns
    -------
    by_psi, by_cot : float array [5, tracks]
        By the azimuth of the direction, and by cot theta.
    """
    omega = -barrel.bend_gev_per_mm * tracks[QPT]
    offset = -tracks[D0]
    along, normal = _bent(at)
    stiff = 1 / (1 - omega * offset)
    cosine = np.cos(at.turn)
    zero = np.zeros_like(cosine)
    by_psi = np.stack(
        [
            -radius_mm * at.cos_beta * stiff,
            -tracks[COT] * (omega * normal - offset) * stiff,
            cosine * stiff,
            zero,
            zero,
        ]
    )
    # pT = p sin theta: a kick in theta bends the track, too.
    qpt = tracks[QPT] * tracks[COT] / (1 + tracks[COT] ** 2)
    bent = -barrel.bend_gev_per_mm * qpt
    by_cot = np.stack(
        [
            0.5 * (radius_mm**2 - offset**2) * stiff * bent,
            -at.path_mm - tracks[COT] * (at.path_mm * offset - along) * stiff * bent,
            -at.path_mm * np.sinc(at.turn / np.pi) * stiff * bent,
            np.ones_like(cosine),
            qpt,
        ]
    )
    return by_psi, by_cot


def _since_perigee(omega: Floats, across: Floats, along: Floats) -> tuple[Floats, Floats]:
    """Turn and transverse path from the perigee to a point `along` and `across` the direction there."""
    bent, straight = omega * along, 1 - omega * across
    turn = np.arctan2(bent, straight)
    # The sine of the turn is bent / length: so the path, turn / omega, without a division by omega.
    length = np.sqrt(bent**2 + straight**2)
    return turn, along / (length * np.sinc(turn / np.pi))


def _bent(at: Crossing) -> tuple[Floats, Floats]:
    """How a point moves along and normal to its direction with the curvature, at the same path, in mm^2."""
    turn = at.turn
    small = np.abs(turn) < 1e-2
    safe = np.where(small, 1.0, turn)
    along = np.where(small, turn / 6 - turn**3 / 120, (safe - np.sin(safe)) / safe**2)
    normal = 0.5 * np.sinc(turn / (2 * np.pi)) ** 2
    return at.path_mm**2 * along, at.path_mm**2 * normal
