"""Secondary vertices: tracks from one decay, with the uncertainty that their crossing gives.

The truth says which tracks belong together; resolution, minimum number of tracks and significance, and vertices of
tracks that cross by chance, make it a reconstruction.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.simulation.pythia import PION_MASS_GEV

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.simulation.detector import Candidates
    from sonic.workloads.simulation.pythia import Particles

MIN_TRACK_PT_GEV = 0.8
MIN_SIGNIFICANCE = 3.0
_MIN_DISTANCE_CM = 0.005
_MERGE_CM = 0.05
_TRACK_EFFICIENCY = 0.9
_PRIMARY_VERTEX_ERROR_CM = np.array([12e-4, 12e-4, 18e-4])
_CHANCE_CROSSINGS = 0.02  # for each track that could take part

_FIELDS = (
    "pt",
    "eta",
    "phi",
    "mass",
    "ntracks",
    "chi2",
    "ndof",
    "dlen",
    "dlenSig",
    "dxy",
    "dxySig",
    "pAngle",
)


def secondary_vertices(candidates: Candidates, particles: Particles, events: int, rng: np.random.Generator) -> ak.Array:
    """Find secondary vertices.

    Parameters
    ----------
    candidates : Candidates
        Of several events, ordered by event.
    particles : Particles
        That the candidates' `source` points into.
    events : int
    rng : numpy.random.Generator

    Returns
    -------
    awkward record array, events * var
        Columns as NanoAOD's ``SV``: pt, eta, phi, mass (GeV, pions assumed); ntracks; chi2 (per degree of freedom)
        and ndof; dlen, dxy (cm) with significances; pAngle, between momentum and the way back to the primary
        vertex.
    """
    usable = (
        candidates.detailed
        & (candidates.pt > MIN_TRACK_PT_GEV)
        & (np.abs(candidates.eta) < 2.5)
        & (rng.random(len(candidates)) < _TRACK_EFFICIENCY)
    )
    tracks = candidates[usable]
    source = particles[tracks.source]
    tracks, source = tracks[source.collision == 0], source[source.collision == 0]
    origin = np.stack([source.vx, source.vy, source.vz], axis=1)
    displaced = np.sqrt((origin**2).sum(axis=1)) > _MIN_DISTANCE_CM

    rows: list[tuple[int, list[float]]] = []
    bounds = np.searchsorted(tracks.event, np.arange(events + 1))
    for event, (low, high) in enumerate(itertools.pairwise(bounds)):
        of_event = np.arange(low, high)
        found = _decays(origin, of_event[displaced[low:high]])
        found += _crossings(tracks, of_event[~displaced[low:high]], rng)
        for members, position in found:
            row = _measure(tracks[members], position, rng)
            if row is not None:
                rows.append((event, row))
    counts = np.bincount([event for event, _ in rows], minlength=events)
    table = np.array([row for _, row in rows], float).reshape(-1, len(_FIELDS))
    columns = {
        name: ak.unflatten(table[:, i].astype(np.uint8 if name == "ntracks" else np.float32), counts)
        for i, name in enumerate(_FIELDS)
    }
    return ak.zip(columns)


Found = list[tuple["NDArray[np.int64]", "NDArray[np.float64]"]]


def _decays(origin: NDArray[np.float64], tracks: NDArray[np.int64]) -> Found:
    """Group an event's displaced tracks by origin; origins closer than the resolution are one vertex."""
    if len(tracks) < 2:
        return []
    places = origin[tracks]
    distance = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    label = np.arange(len(tracks))
    # Single linkage: spread the lowest label until nothing changes.
    near = distance < _MERGE_CM
    while True:
        spread = np.where(near, label, len(tracks)).min(axis=1)
        if np.array_equal(spread, label):
            break
        label = spread
    groups = [tracks[label == value] for value in np.unique(label)]
    return [(g, origin[g].mean(axis=0)) for g in groups if len(g) > 1]


def _crossings(tracks: Candidates, of_event: NDArray[np.int64], rng: np.random.Generator) -> Found:
    """Vertices that pairs of neighbouring prompt tracks seem to make."""
    found: Found = []
    if len(of_event) < 2:
        return found
    for one in of_event[rng.random(len(of_event)) < _CHANCE_CROSSINGS]:
        d_phi = wrap(tracks.phi[of_event] - tracks.phi[one])
        distance = np.hypot(tracks.eta[of_event] - tracks.eta[one], d_phi)
        distance[of_event == one] = np.inf
        other = of_event[int(np.argmin(distance))]
        members = np.array([one, other])
        axis = _momenta(tracks[members])[:, :3].sum(axis=0)
        found.append((members, axis / np.linalg.norm(axis) * rng.exponential(0.2)))
    return found


def _momenta(t: Candidates) -> NDArray[np.float64]:
    """Momenta [n, 4] as px, py, pz, energy, with the pion's mass."""
    p = np.stack([t.pt * np.cos(t.phi), t.pt * np.sin(t.phi), t.pt * np.sinh(t.eta)], axis=1)
    energy = np.sqrt((p**2).sum(axis=1) + PION_MASS_GEV**2)
    return np.concatenate([p, energy[:, None]], axis=1)


def _measure(t: Candidates, position: NDArray[np.float64], rng: np.random.Generator) -> list[float] | None:
    """Smear a vertex and measure it; None if it is not significantly displaced."""
    momenta = _momenta(t)
    total = momenta.sum(axis=0)
    direction = momenta[:, :3] / np.linalg.norm(momenta[:, :3], axis=1)[:, None]
    error2 = (t.d0_error**2 + t.dz_error**2) / 2
    # Each track fixes the two directions across it: the information along the rest is what its angle gives.
    across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
    information = (across / error2[:, None, None]).sum(axis=0) + np.eye(3) * 1e-2
    covariance = np.linalg.inv(information)
    measured = rng.multivariate_normal(position, covariance, method="cholesky")
    covariance = covariance + np.diag(_PRIMARY_VERTEX_ERROR_CM**2)
    length = float(np.linalg.norm(measured))
    transverse = float(np.hypot(measured[0], measured[1]))
    unit, unit_t = measured / length, measured[:2] / transverse
    significance = length / float(np.sqrt(unit @ covariance @ unit))
    significance_t = transverse / float(np.sqrt(unit_t @ covariance[:2, :2] @ unit_t))
    if significance < MIN_SIGNIFICANCE or length > 25.0:
        return None
    ndof = max(0.4, 2 * len(t) * rng.uniform(0.7, 1.0) - 3)
    pt = float(np.hypot(total[0], total[1]))
    mass2 = float(total[3] ** 2 - (total[:3] ** 2).sum())
    cosine = float(total[:3] @ unit / np.linalg.norm(total[:3]))
    return [
        pt,
        float(np.arcsinh(total[2] / pt)),
        float(np.arctan2(total[1], total[0])),
        float(np.sqrt(max(mass2, 0.0))),
        float(len(t)),
        float(rng.chisquare(ndof)) / ndof,
        ndof,
        length,
        significance,
        transverse,
        significance_t,
        float(np.pi - np.arccos(np.clip(cosine, -1.0, 1.0))),
    ]
