"""Jets of the detector and of the generator, and the flavour of the former.

Jets are FastJet's (Cacciari, Salam and Soyez, arXiv:1111.6097), anti-kt with R = 0.4, and 0.8 for wide ones.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import vector

from sonic.errors import ConfigError
from sonic.workloads.angles import wrap
from sonic.workloads.simulation.pythia import heavy_quark

vector.register_awkward()

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.simulation.detector import Candidates
    from sonic.workloads.simulation.pythia import Collisions, Particles

RADIUS = 0.4
MIN_RAW_PT_GEV = 10.0
MIN_PT_GEV = 15.0
WIDE_RADIUS = 0.8
WIDE_MIN_PT_GEV = 170.0
_AREA = np.pi * RADIUS**2


def cluster(
    event: NDArray[np.int64],
    momentum: tuple[NDArray[np.float64], ...],
    events: int,
    min_pt_gev: float,
    radius: float = RADIUS,
) -> tuple[ak.Array, ak.Array]:
    """Cluster with the anti-kt algorithm.

    Parameters
    ----------
    event : int64 [n]
        Sorted.
    momentum : tuple of float64 [n]
        px, py, pz and energy, GeV.
    events : int
    min_pt_gev, radius : float

    Returns
    -------
    jets : awkward record array, events * var
        px, py, pz, E; hardest first.
    constituents : awkward int array, events * var * var
        Positions within the event.
    """
    try:
        import fastjet
    except ImportError:
        raise ConfigError("clustering jets needs fastjet: pip install 'sonic-hep[generate]'") from None
    with contextlib.suppress(AttributeError):  # the banner, once a process, would tear the progress bar
        fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    counts = np.bincount(event, minlength=events)
    fields = dict(zip(("px", "py", "pz", "E"), momentum, strict=True))
    inputs = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), counts)
    sequence = fastjet.ClusterSequence(inputs, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    jets, constituents = sequence.inclusive_jets(min_pt=min_pt_gev), sequence.constituent_index(min_pt=min_pt_gev)
    order = ak.argsort(jets.px**2 + jets.py**2, ascending=False)
    return jets[order], constituents[order]


def reconstructed(candidates: Candidates, events: int) -> tuple[ak.Array, ak.Array]:
    """Cluster jets of candidates, less the charged ones that belong to another vertex's fit.

    Returns
    -------
    jets : awkward record array, events * var
        pt (GeV, corrected for pile-up), raw_pt, eta, phi, mass; hardest first, pt above 15 GeV.
    constituents : awkward int array, events * var * var
        Positions among the event's candidates.
    """
    kept = ~((candidates.charge != 0) & ~candidates.primary & (candidates.association >= 6))
    c = candidates[kept]
    pz, p2 = c.pt * np.sinh(c.eta), (c.pt * np.cosh(c.eta)) ** 2
    momentum = (c.pt * np.cos(c.phi), c.pt * np.sin(c.phi), pz, np.sqrt(p2 + c.mass**2))
    found, members = cluster(c.event, momentum, events, MIN_RAW_PT_GEV)

    members = _among_all(members, candidates, kept, events)

    raw = directions(found)
    corrected = np.maximum(raw.pt - energy_density(c, events)[:, None] * _AREA, 0.0)
    mass = raw.mass * corrected / raw.pt
    jets = ak.zip({"pt": corrected, "raw_pt": raw.pt, "eta": raw.eta, "phi": raw.phi, "mass": mass})
    keep = jets.pt > MIN_PT_GEV
    jets, members = jets[keep], members[keep]
    order = ak.argsort(jets.pt, ascending=False)
    return jets[order], members[order]


def wide(candidates: Candidates, weights: NDArray[np.float64], events: int) -> tuple[ak.Array, ak.Array]:
    """Cluster jets with R = 0.8 of candidates that are weighted by how likely they come from the hard collision.

    Parameters
    ----------
    candidates : Candidates
    weights : float64 [n]
        In [0, 1]; those of weight 0 are left out.
    events : int

    Returns
    -------
    jets : awkward record array, events * var
        pt (GeV), eta, phi, mass; hardest first, pt above 170 GeV.
    constituents : awkward int array, events * var * var
        Positions among the event's candidates.
    """
    kept = weights > 0
    c = candidates[kept]
    pt = c.pt * weights[kept]
    pz, p2 = pt * np.sinh(c.eta), (pt * np.cosh(c.eta)) ** 2
    momentum = (pt * np.cos(c.phi), pt * np.sin(c.phi), pz, np.sqrt(p2 + (c.mass * weights[kept]) ** 2))
    found, members = cluster(c.event, momentum, events, WIDE_MIN_PT_GEV, WIDE_RADIUS)
    return directions(found), _among_all(members, candidates, kept, events)


def energy_density(candidates: Candidates, events: int) -> NDArray[np.float64]:
    """Median transverse momentum per unit area in the cells of a fixed grid, GeV, one an event."""
    rows, columns = 18, 12
    row = np.floor((candidates.eta + 5.0) / (10.0 / rows)).astype(np.int64)
    column = np.floor((candidates.phi + np.pi) / (2 * np.pi / columns)).astype(np.int64) % columns
    inside = (row >= 0) & (row < rows)
    cell = (candidates.event * rows + row) * columns + column
    total = np.bincount(cell[inside], candidates.pt[inside], events * rows * columns)
    area = (10.0 / rows) * (2 * np.pi / columns)
    median: NDArray[np.float64] = np.median(total.reshape(events, -1), axis=1) / area
    return median


def generated(stable: Particles, events: int) -> ak.Array:
    """Jets of the hard collision's visible particles above 10 GeV: pt, eta, phi, mass."""
    p = stable[~stable.invisible]
    return directions(cluster(p.event, (p.px, p.py, p.pz, p.energy), events, 10.0)[0])


def directions(found: ak.Array) -> ak.Array:
    """Return clustered jets, of :func:`cluster`, as records of pt, eta, phi and mass."""
    pt = np.hypot(found.px, found.py)
    mass2 = found.E**2 - found.px**2 - found.py**2 - found.pz**2
    return ak.zip(
        {
            "pt": pt,
            "eta": np.arcsinh(found.pz / pt),
            "phi": np.arctan2(found.py, found.px),
            "mass": np.sqrt(np.maximum(mass2, 0.0)),
        }
    )


def _among_all(members: ak.Array, candidates: Candidates, kept: NDArray[np.bool_], events: int) -> ak.Array:
    """Positions among an event's candidates, from those among the kept ones."""
    event = candidates.event[kept]
    first = np.searchsorted(candidates.event, np.arange(events))
    position = ak.unflatten(np.flatnonzero(kept) - first[event], np.bincount(event, minlength=events))
    per_jet = ak.num(members, axis=2)
    return ak.unflatten(position[ak.flatten(members, axis=2)], ak.flatten(per_jet), axis=1)


def flavour(jets: ak.Array, hard: Collisions, radius: float = RADIUS) -> dict[str, ak.Array]:
    """Flavour of jets from the heavy hadrons and partons within a radius, each given to its closest jet.

    Returns
    -------
    dict of awkward int32 arrays, events * var
        ``nBHadrons``, ``nCHadrons``; ``hadronFlavour`` 5, 4 or 0; ``partonFlavour``, the heaviest heavy quark or
        else the hardest parton, 0 for none.
    """
    counts = np.asarray(ak.num(jets))
    bottom, charm = (
        _per_jet(jets, hard.heavy[(heavy_quark(hard.heavy.pdg_id) == quark)], "count", radius) for quark in (5, 4)
    )
    hadron = np.where(bottom > 0, 5, np.where(charm > 0, 4, 0))
    parton = _per_jet(jets, hard.partons, "hardest", radius)
    for quark in (4, 5):
        found = _per_jet(jets, hard.partons[np.abs(hard.partons.pdg_id) == quark], "hardest", radius)
        parton = np.where(found != 0, found, parton)
    columns = {"nBHadrons": bottom, "nCHadrons": charm, "hadronFlavour": hadron, "partonFlavour": parton}
    return {k: ak.unflatten(v.astype(np.int32), counts) for k, v in columns.items()}


def match(jets: ak.Array, others: ak.Array, max_distance: float = RADIUS) -> ak.Array:
    """Index of the closest of `others` (records with eta and phi) to each jet, -1 for none within the distance."""
    pairs = ak.cartesian({"jet": jets, "other": others}, nested=True)
    d_phi = wrap(pairs.jet.phi - pairs.other.phi)
    distance = np.hypot(pairs.jet.eta - pairs.other.eta, d_phi)
    closest = ak.argmin(distance, axis=2)
    near = ak.fill_none(ak.min(distance, axis=2) < max_distance, False)
    return ak.values_astype(ak.where(near, ak.fill_none(closest, -1), -1), np.int32)


def _per_jet(jets: ak.Array, particles: Particles, what: str, radius: float) -> NDArray[np.int64]:
    """Count of particles, or the code of the hardest, given to each jet; flat over jets."""
    counts = np.asarray(ak.num(jets))
    total = int(counts.sum())
    p = particles[particles.pt > 0.5]
    records = ak.unflatten(ak.zip({"eta": p.eta, "phi": p.phi}), np.bincount(p.event, minlength=len(jets)))
    index = np.asarray(ak.flatten(match(records, jets, radius)))
    taken = index >= 0
    flat = (np.cumsum(counts) - counts)[p.event[taken]] + index[taken]
    if what == "count":
        return np.bincount(flat, minlength=total)
    order = np.argsort(p.pt[taken], kind="stable")
    code = np.zeros(total, np.int64)
    code[flat[order]] = p.pdg_id[taken][order]
    return code
