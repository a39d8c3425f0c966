from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.hlt.region import RegionalFinder, in_region, vertex_mm
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.simulation import Beam, Event, events

ANYWHERE = np.array([[0.3, 1.0], [-0.8, -3.1]]).T
"""Eta and phi of two jets."""


@pytest.fixture(scope="module")
def event() -> Event:
    (made,) = events(1, Beam(particles=150, min_pt_gev=1.5), seed=4)
    return made


def records(event: Event, eta: list[float], phi: list[float], taggable: list[bool] | None = None) -> ak.Array:
    columns = {"Hit_layer": event.layer, "Hit_phi": event.phi, "Hit_z": event.z_mm}
    columns |= {"Jet_eta": np.array(eta), "Jet_phi": np.array(phi)}
    columns["Jet_taggable"] = np.array([True] * len(eta) if taggable is None else taggable, bool)
    return ak.Array([columns])


def test_hits_of_tracks_near_a_jet_are_in_its_region(event: Event) -> None:
    eta, phi = np.arcsinh(event.tracks[3]), event.tracks[2]
    near = in_region(event.layer, event.phi, event.z_mm, *ANYWHERE)
    assert 0.05 < near.mean() < 0.6
    for jet_eta, jet_phi in ANYWHERE.T:
        apart = np.hypot(eta - jet_eta, np.angle(np.exp(1j * (phi - jet_phi))))
        for particle in np.flatnonzero(apart < 0.3):
            assert near[event.particle == particle].all()


def test_tracks_are_found_as_in_the_whole_event(event: Event) -> None:
    found = RegionalFinder().produce(records(event, *ANYWHERE.tolist()))
    hits = ak.to_numpy(found["Track_hits"][0])
    everywhere = {tuple(row) for row in find(event.layer, event.phi, event.z_mm).hits}
    assert len(hits) > 5
    assert np.mean([tuple(row) in everywhere for row in hits]) > 0.8
    assert found["Event_nRegionHits"][0] < len(event)


@pytest.mark.parametrize(("eta", "taggable"), [([], None), ([0.3], [False]), ([np.nan], None)])
def test_no_jet_no_tracks(event: Event, eta: list[float], taggable: list[bool] | None) -> None:
    found = RegionalFinder().produce(records(event, eta, eta, taggable))
    assert ak.num(found["Track_hits"]).tolist() == [0]
    assert found["Event_nRegionHits"].tolist() == [0]


def test_one_hit_and_hits_that_are_nowhere() -> None:
    where = (np.array([0, 3]), np.array([0.0, np.nan]), np.array([0.0, np.inf]))
    assert in_region(*where, np.array([0.0]), np.array([0.0])).tolist() == [True, False]
    one = Event(*where, np.array([-1, -1]), np.empty((5, 0)))
    found = RegionalFinder().produce(records(one, [0.0], [0.0]))
    assert ak.num(found["Track_hits"]).tolist() == [0]
    assert RegionalFinder().produce(records(one, [], [])[:0])["Track_hits"].tolist() == []
    assert len(BARREL) == 10


def test_the_vertex_is_where_most_momentum_comes_from() -> None:
    z0 = np.array([-50.0, 10.0, 10.2, 9.9, 60.0])
    assert vertex_mm(z0, np.array([3.0, 2.0, 4.0, 2.0, 1.0])) == pytest.approx(10.12, abs=0.05)
    assert vertex_mm(z0, np.array([30.0, 2.0, 4.0, 2.0, 1.0])) == -50.0
    assert vertex_mm(z0[:0], z0[:0]) == 0.0
