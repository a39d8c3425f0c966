"""Whole events in the layout of a PFNano file, in blocks that depend on nothing but the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.simulation import jets as jetting
from sonic.workloads.simulation.decays import wide_jet_classes
from sonic.workloads.simulation.detector import detect
from sonic.workloads.simulation.material import interact
from sonic.workloads.simulation.pileup import add_pile_up
from sonic.workloads.simulation.processes import PILE_UP, PROCESSES, collisions
from sonic.workloads.simulation.puppi import puppi_weights
from sonic.workloads.simulation.pythia import generate
from sonic.workloads.simulation.vertices import secondary_vertices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sonic.workloads.simulation.detector import Candidates
    from sonic.workloads.simulation.processes import Process
    from sonic.workloads.simulation.pythia import Collisions

PILE_UP_MEAN = 30.0
"""Inelastic collisions expected; see :func:`sonic.workloads.simulation.pileup.add_pile_up` for how many are added."""
PILE_UP_SPREAD = 7.0
_POOL = 250


def simulate(process: Process, events: int, seed: int, block: int = 0) -> ak.Array:
    """Generate one block of events.

    Parameters
    ----------
    process : Process
    events : int
    seed, block : int
        The same process, number of events, seed and block give the same events, in whatever process or order
        blocks are made.

    Returns
    -------
    awkward record array, one record an event
        Branches of PFNano, flat (``PFCands_pt``): of the collections PFCands, Jet, JetPFCands, SV, JetSVs, FatJet,
        FatJetPFCands, FatJetSVs and GenJet (lists), of GenMET, RawMET and PuppiMET, ``Pileup_nPU``,
        ``fixedGridRhoFastjetAll``, ``event``. RawMET
        is minus the plain sum of candidates, PuppiMET the one weighted by ``puppiWeight``. ``FatJet_truthClass``,
        which is not in PFNano, is of :func:`sonic.workloads.simulation.decays.wide_jet_classes`.

    Raises
    ------
    ConfigError
        If pythia8mc or fastjet is not installed.
    """
    streams = np.random.SeedSequence([seed, PROCESSES.index(process), block]).spawn(3)
    hard_seed, pool_seed = (int(s.generate_state(1)[0]) for s in streams[:2])
    rng = np.random.default_rng(streams[2])
    hard = generate(process.settings(hard_seed), events)
    pool = generate((*PILE_UP, *collisions(pool_seed)), _POOL).stable
    particles, interactions = add_pile_up(
        hard.stable[~hard.stable.invisible],
        events,
        pool[~pool.invisible & (np.abs(pool.eta) < 5.3)],
        PILE_UP_MEAN,
        PILE_UP_SPREAD,
        rng,
    )
    particles = interact(particles, rng)
    candidates = detect(particles, rng)
    weights = puppi_weights(candidates, interactions)
    vertices = secondary_vertices(candidates, particles, events, rng)
    return _assemble(hard, candidates, weights, vertices, interactions, block)


def blocks(process: Process, events: int, seed: int, block_events: int = 250) -> Iterator[ak.Array]:
    """Generate any number of events, block by block; as :func:`simulate`."""
    for block, start in enumerate(range(0, events, block_events)):
        yield simulate(process, min(block_events, events - start), seed, block)


def _assemble(
    hard: Collisions,
    candidates: Candidates,
    weights: np.ndarray,
    vertices: ak.Array,
    interactions: np.ndarray,
    block: int,
) -> ak.Array:
    events = hard.events
    jets, members = jetting.reconstructed(candidates, events)
    wide, wide_members = jetting.wide(candidates, weights, events)
    truth_jets = jetting.generated(hard.stable, events)
    neutrinos = hard.stable[hard.stable.invisible]
    collections = {
        "PFCands": _pf_cands(candidates, weights, events),
        "Jet": _jets(jets, members, truth_jets, hard),
        "JetPFCands": _links(members, "pFCandsIdx"),
        "SV": vertices,
        "JetSVs": _links(_vertices_in(jets, vertices, jetting.RADIUS), "sVIdx"),
        "FatJet": _wide_jets(wide, wide_members, hard),
        "FatJetPFCands": _links(wide_members, "pFCandsIdx"),
        "FatJetSVs": _links(_vertices_in(wide, vertices, jetting.WIDE_RADIUS), "sVIdx"),
        "GenJet": _floats(truth_jets),
    }
    columns = {
        "run": ak.Array(np.ones(events, np.uint32)),  # as in CMS's simulation
        "luminosityBlock": ak.Array(np.full(events, 1 + block, np.uint32)),
        "event": ak.Array(block * 1_000_000 + np.arange(events, dtype=np.uint64)),
        "Pileup_nPU": ak.Array(interactions.astype(np.int32)),
        "fixedGridRhoFastjetAll": ak.Array(jetting.energy_density(candidates, events).astype(np.float32)),
    }
    for name, records in collections.items():
        columns |= {f"{name}_{field}": records[field] for field in records.fields}
    sums = {
        "GenMET": (neutrinos.event, neutrinos.px, neutrinos.py),
        "RawMET": (candidates.event, *_minus(candidates, np.ones(len(candidates)))),
        "PuppiMET": (candidates.event, *_minus(candidates, weights)),
    }
    for name, (event, px, py) in sums.items():
        x, y = (np.bincount(event, c, events) for c in (px, py))
        columns[f"{name}_pt"] = ak.Array(np.hypot(x, y).astype(np.float32))
        columns[f"{name}_phi"] = ak.Array(np.arctan2(y, x).astype(np.float32))
    return ak.zip(columns, depth_limit=1)


def _minus(c: Candidates, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return -weights * c.pt * np.cos(c.phi), -weights * c.pt * np.sin(c.phi)


def _pf_cands(c: Candidates, weights: np.ndarray, events: int) -> ak.Array:
    floats = {
        "pt": c.pt,
        "eta": c.eta,
        "phi": c.phi,
        "mass": c.mass,
        "puppiWeight": weights,
        "d0": c.d0,
        "d0Err": c.d0_error,
        "dz": c.dz,
        "dzErr": c.dz_error,
        "trkChi2": c.chi2,
    }
    integers = {
        "charge": c.charge,
        "pdgId": c.pdg_id,
        "pvAssocQuality": c.association,
        "trkQuality": c.quality,
        "lostInnerHits": c.lost_inner_hits,
    }
    columns = {k: v.astype(np.float32) for k, v in floats.items()}
    columns |= {k: v.astype(np.int32) for k, v in integers.items()}
    return ak.unflatten(ak.zip(columns), np.bincount(c.event, minlength=events))


def _jets(jets: ak.Array, members: ak.Array, truth_jets: ak.Array, hard: Collisions) -> ak.Array:
    floats = {k: jets[k] for k in ("pt", "eta", "phi", "mass")} | {"rawFactor": 1.0 - jets.raw_pt / jets.pt}
    integers = jetting.flavour(jets, hard) | {
        "genJetIdx": jetting.match(jets, truth_jets),
        "nConstituents": ak.num(members, axis=2),
    }
    return ak.zip(
        {k: ak.values_astype(v, np.float32) for k, v in floats.items()}
        | {k: ak.values_astype(v, np.int32) for k, v in integers.items()}
    )


def _wide_jets(jets: ak.Array, members: ak.Array, hard: Collisions) -> ak.Array:
    integers = jetting.flavour(jets, hard, jetting.WIDE_RADIUS)
    integers["truthClass"] = wide_jet_classes(jets, integers, hard.decays, jetting.WIDE_RADIUS)
    integers |= {"nConstituents": ak.num(members, axis=2)}
    columns = {k: ak.values_astype(jets[k], np.float32) for k in ("pt", "eta", "phi", "mass")}
    return ak.zip(columns | {k: ak.values_astype(v, np.int32) for k, v in integers.items()})


def _vertices_in(jets: ak.Array, vertices: ak.Array, radius: float) -> ak.Array:
    """Find the vertices within a jet's radius, events * jets * var."""
    pairs = ak.cartesian({"jet": jets, "sv": vertices}, nested=True)
    d_phi = wrap(pairs.jet.phi - pairs.sv.phi)
    near = np.hypot(pairs.jet.eta - pairs.sv.eta, d_phi) < radius
    return ak.local_index(near, axis=2)[near]


def _links(lists: ak.Array, name: str) -> ak.Array:
    """Flatten lists by jet into PFNano's pairs of jet index and index into the other collection."""
    jet = ak.broadcast_arrays(ak.local_index(lists, axis=1), lists)[0]
    return ak.zip(
        {
            "jetIdx": ak.values_astype(ak.flatten(jet, axis=2), np.int32),
            name: ak.values_astype(ak.flatten(lists, axis=2), np.int32),
        }
    )


def _floats(records: ak.Array) -> ak.Array:
    return ak.zip({k: ak.values_astype(records[k], np.float32) for k in records.fields})
