from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

pytest.importorskip("fastjet")

from sonic.workloads.simulation import jets
from sonic.workloads.simulation.detector import detect
from sonic.workloads.simulation.pythia import Collisions, concatenate


@pytest.fixture
def spray(make_particles):
    """Two jets in event 0, none in event 1, one in event 2."""
    rng = np.random.default_rng(0)

    def jet(event: int, eta: float, phi: float, pt: float):
        around = {"eta": eta + rng.normal(0, 0.05, 20), "phi": phi + rng.normal(0, 0.05, 20)}
        return make_particles(20, pdg_id=22, pt=pt / 20, event=event, **around)

    return concatenate([jet(0, 0.0, 0.0, 100.0), jet(0, 1.0, 2.0, 60.0), jet(2, -1.0, 3.0, 200.0)])


def test_jets_of_candidates(spray):
    candidates = detect(spray, np.random.default_rng(0))
    found, members = jets.reconstructed(candidates, 3)
    assert ak.num(found).tolist() == [2, 0, 1]
    assert found.pt[0].tolist() == pytest.approx([100, 60], rel=0.15)
    assert found.pt[0, 0] > found.pt[0, 1]
    per_event = ak.unflatten(candidates.pt, np.bincount(candidates.event, minlength=3))
    assert ak.sum(per_event[2][members[2, 0]]) == pytest.approx(found.raw_pt[2, 0], rel=0.02)
    assert np.asarray(found.eta[2, 0]) == pytest.approx(-1.0, abs=0.05)


def test_charged_pile_up_is_left_out_of_jets(spray, make_particles):
    pile_up = make_particles(40, charge=1, pt=5.0, eta=0.05, phi=0.0, vz=6.0, collision=1)
    candidates = detect(concatenate([spray, pile_up]), np.random.default_rng(1))
    _, members = jets.reconstructed(candidates, 3)
    first = candidates[candidates.event == 0][np.asarray(members[0, 0])]
    used_elsewhere = (first.charge != 0) & ~first.primary & (first.association >= 6)
    assert not used_elsewhere.any()


def test_energy_density_is_the_median(make_particles):
    rng = np.random.default_rng(0)
    n = 20_000
    even = make_particles(n, pdg_id=22, pt=1.0, eta=rng.uniform(-2.9, 2.9, n), phi=rng.uniform(-np.pi, np.pi, n))
    candidates = detect(even, rng)
    inside = np.abs(candidates.eta) < 2.9
    expected = candidates.pt[inside].sum() / (5.8 * 2 * np.pi)
    assert jets.energy_density(candidates, 1)[0] == pytest.approx(expected, rel=0.25)


def test_flavour_goes_to_the_closest_jet(spray, make_particles):
    found = jets.generated(spray, 3)
    heavy = concatenate(
        [make_particles(1, pdg_id=511, pt=30.0), make_particles(2, pdg_id=411, pt=20.0, eta=1.0, phi=2.1)]
    )
    partons = concatenate(
        [
            make_particles(1, pdg_id=21, pt=90.0),
            make_particles(1, pdg_id=-5, pt=30.0),
            make_particles(1, pdg_id=2, pt=150.0, eta=-1.0, phi=3.0, event=2),
            make_particles(1, pdg_id=21, pt=50.0, eta=-1.0, phi=3.0, event=2),
        ]
    )
    flavour = jets.flavour(found, Collisions(spray, heavy, partons, 3))
    assert flavour["hadronFlavour"].tolist() == [[5, 4], [], [0]]
    assert flavour["nBHadrons"].tolist() == [[1, 0], [], [0]]
    assert flavour["nCHadrons"].tolist() == [[0, 2], [], [0]]
    assert flavour["partonFlavour"].tolist() == [[-5, 0], [], [2]]


def test_matching():
    left = ak.Array([[{"eta": 0.0, "phi": 3.1}, {"eta": 2.0, "phi": 0.0}], [{"eta": 0.0, "phi": 0.0}]])
    right = ak.Array([[{"eta": 0.3, "phi": 3.1}, {"eta": 0.0, "phi": -3.1}], [{"eta": 9.0, "phi": 0.0}]])
    assert jets.match(left, right).tolist() == [[1, -1], [-1]]


def test_generated_jets_of_top_quarks(generated: ak.Array):
    flavour = generated.Jet_hadronFlavour
    assert ak.sum(flavour == 5) > 12
    assert ak.all(generated.Jet_pt[:, :-1] >= generated.Jet_pt[:, 1:])
    assert ak.all((flavour == 5) == (generated.Jet_nBHadrons > 0))
    hard = generated.Jet_pt > 50
    assert ak.mean(generated.Jet_genJetIdx[hard] >= 0) > 0.9


def test_wide_jets_weigh_their_candidates(spray):
    candidates = detect(spray, np.random.default_rng(0))
    whole = np.ones(len(candidates))
    found, members = jets.wide(candidates, whole, 3)
    assert ak.num(found.pt).tolist() == [0, 0, 1]
    of_event = candidates[candidates.event == 2]
    assert sorted(members[2, 0].tolist()) == list(range(len(of_event)))
    less, _ = jets.wide(candidates, 0.9 * whole, 3)
    assert less.pt[2, 0] == pytest.approx(0.9 * found.pt[2, 0])
    without_first, members = jets.wide(candidates, np.where(candidates.pt == of_event.pt.max(), 0.0, 1.0), 3)
    assert without_first.pt[2, 0] < found.pt[2, 0]
    assert 0 not in members[2, 0].tolist()


def test_events_without_wide_jets(spray):
    candidates = detect(spray, np.random.default_rng(0))
    for weight in (0.5, 0.0):
        found, members = jets.wide(candidates, np.full(len(candidates), weight), 3)
        assert ak.num(found.pt).tolist() == [0, 0, 0]
        assert members.tolist() == [[], [], []]
