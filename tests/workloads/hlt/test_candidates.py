from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.features import JET_BRANCHES, jet_inputs
from sonic.workloads.hlt.candidates import UNTAGGED, Candidates, Tracks, beyond_tracks, track_count
from sonic.workloads.hlt.jets import towers_of

TOWERS = 3528
PARTS = ("d0", "z0", "phi", "cotTheta", "qOverPt")


def event(tracks: list[tuple[float, ...]], jets: list[tuple[float, float]], energy: dict[int, float]) -> ak.Array:
    """One event: tracks by their parameters, jets by eta and phi, towers by number."""
    parameters = np.array(tracks, float).reshape(-1, 5)
    towers = np.zeros(TOWERS, np.float32)
    towers[list(energy)] = list(energy.values())
    hits = np.tile(np.arange(10), (len(tracks), 1))
    row: dict[str, Any] = {f"Track_{part}": parameters[:, i] for i, part in enumerate(PARTS)}
    row |= {f"Track_{part}Error": np.full(len(tracks), 0.02) for part in PARTS}
    row |= {"Track_chi2": np.full(len(tracks), 15.0), "Track_good": np.ones(len(tracks), bool)}
    row |= {"Jet_eta": np.array([jet[0] for jet in jets]), "Jet_phi": np.array([jet[1] for jet in jets])}
    row |= {"Jet_taggable": np.ones(len(jets), bool), "Tower_energy": towers}
    rows = ak.Array([row])
    return ak.with_field(rows, ak.Array([hits.tolist()] if len(tracks) else [[]]), "Track_hits")


def tower_at(eta: float, phi: float) -> int:
    made = towers_of(ak.Array({"Tower_energy": np.zeros((1, TOWERS))}))
    return int(np.argmin(np.hypot(made.eta - eta, np.angle(np.exp(1j * (made.phi - phi))))))


def test_tracks_and_towers_become_candidates_of_their_jet() -> None:
    jet = (0.3, 1.0)
    tracks = [(0.01, 5.0, 1.05, np.sinh(0.3), 0.1), (0.3, 5.1, 0.9, np.sinh(0.35), -0.5), (0.0, 80.0, 1.0, 0.3, 1.0)]
    found = Candidates().produce(event(tracks, [jet, (-0.9, -2.0)], {tower_at(0.5, 1.2): 7.0, tower_at(2.5, 0): 9.0}))
    assert set(found) == set(Candidates.produces)
    assert found["PV_z"][0] == pytest.approx(0.5, abs=0.01)  # cm
    assert found["PFCands_charge"].tolist() == [[1, -1, 0, 0]]  # the third track is of another vertex
    assert found["PFCands_pt"][0][:2].tolist() == pytest.approx([10.0, 2.0])
    assert found["PFCands_d0"][0].tolist() == pytest.approx([0.001, 0.03, -1, -1])
    assert found["PFCands_pvAssocQuality"].tolist() == [[7, 5, 7, 7]]
    assert found["PFCands_trkQuality"].tolist() == [[5, 5, 0, 0]]
    pairs = found["JetPFCands_jetIdx"][0].tolist(), found["JetPFCands_pFCandsIdx"][0].tolist()
    assert pairs[0] == [0, 0, 0]
    assert pairs[1][:2] == [0, 1]
    assert found["Jet_nTracks"].tolist() == [[2, 0]]


def test_the_taggers_own_function_takes_them() -> None:
    made = event([(0.01, 5.0, 1.05, 0.3, 0.1)], [(0.3, 1.0)], {tower_at(0.5, 1.2): 7.0})
    found = {name: ak.Array(column) for name, column in Candidates().produce(made).items()}
    rows = ak.Array({name: found.get(name, made[name] if name in made.fields else None) for name in JET_BRANCHES})
    inputs = jet_inputs(rows)
    assert inputs["pf_mask"].sum() == 2
    assert inputs["sv_mask"].sum() == 0
    assert all(np.isfinite(array).all() for array in inputs.values())


@pytest.mark.parametrize("jets", [[], [(0.3, 1.0)]])
def test_events_without_tracks_or_jets(jets: list[tuple[float, float]]) -> None:
    found = Candidates().produce(event([], jets, {}))
    assert ak.num(found["PFCands_pt"]).tolist() == ak.num(found["JetPFCands_jetIdx"]).tolist() == [0]
    assert found["Jet_trackCount"].tolist() == [[0.0] * len(jets)]
    assert found["PV_z"].tolist() == [0.0]
    assert all(len(column) == 0 for column in Candidates().produce(event([], jets, {})[:0]).values())
    found = Candidates().produce(event([(0, 0, 1, 0, 1)], [], {tower_at(0, 1): 50.0}))
    assert found["JetPFCands_jetIdx"].tolist() == [[]]


def test_jets_that_are_not_to_be_tagged_have_no_count() -> None:
    made = event([(0, 0, 1, 0, 1)] * 3, [(0.0, 1.0), (0.1, 1.0)], {})
    made = ak.with_field(made, ak.Array([[False, True]]), "Jet_taggable")
    found = Candidates().produce(made)
    assert found["Jet_trackCount"].tolist() == [[UNTAGGED, 0.0]]
    assert found["Jet_nTracks"].tolist() == [[0, 3]]
    assert set(found["JetPFCands_jetIdx"][0].tolist()) == {1}


def test_towers_lose_what_their_tracks_have() -> None:
    tower = tower_at(0.3, 1.0)
    made = towers_of(ak.Array({"Tower_energy": np.full((1, TOWERS), 20.0)}))
    one = np.array([[0.0, 0.0, made.phi[tower], np.sinh(made.eta[tower]), 0.001]]).T  # straight
    momentum = 1000 * np.cosh(made.eta[tower])
    tracks = Tracks(one, one, np.zeros(1), np.ones(1), np.zeros(1, np.int64))
    found = beyond_tracks(tracks, towers_of(ak.Array({"Tower_energy": np.full((1, TOWERS), 20.0)})[0]))
    assert found[tower] == pytest.approx(20 - momentum - np.sqrt(momentum))
    assert (np.delete(found, tower) == 20).all()


def test_tracks_that_cross_the_axis_in_front_count() -> None:
    d0 = np.array([1.0, -0.6, -0.8, 0.1])  # mm, with errors of 0.1; the jet lies at phi 0
    phi = np.array([-0.2, 0.2, -0.2, 0.1])
    parameters = np.stack([d0, 0 * d0, phi, 0 * d0, np.ones(4)])
    tracks = Tracks(parameters, np.full((5, 4), 0.1), d0, d0, np.zeros(4, np.int64))
    assert track_count(tracks, np.arange(4), 0.0) == pytest.approx(6.0)
    assert track_count(tracks, np.array([2, 3]), 0.0) == 0.0  # both behind
    assert track_count(tracks, np.array([0]), 0.0) == 0.0
