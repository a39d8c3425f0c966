from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.toptag.images import HALF_SIDE, PIXELS, PT_UNIT, Constituents, aligned, constituents, images

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeJets = Callable[..., Constituents]
    MakeEvents = Callable[..., ak.Array]


def one(pt: list[float], eta: list[float], phi: list[float], charged: list[bool] | None = None) -> Constituents:
    return Constituents(
        np.array([len(pt)]),
        np.array(pt),
        np.array(eta),
        np.array(phi),
        np.array(charged if charged else [True] * len(pt)),
    )


def test_colours_are_momenta_of_charged_and_neutral_particles_and_a_number(make_jets: MakeJets):
    jets = make_jets(4, 3, seed=1)
    drawn = images(jets)
    assert drawn.shape == (4, PIXELS, PIXELS, 3)
    assert drawn.dtype == np.float32
    assert drawn[..., :2].sum(axis=(1, 2, 3)) == pytest.approx(np.full(4, 1 / PT_UNIT), rel=1e-4)
    charged = np.bincount(jets.jet, jets.charged * jets.pt) / np.bincount(jets.jet, jets.pt)
    assert drawn[..., 0].sum(axis=(1, 2)) * PT_UNIT == pytest.approx(charged, rel=1e-4)
    assert (drawn[..., 2].sum(axis=(1, 2)) == np.bincount(jets.jet, jets.charged)).all()


def test_an_image_does_not_know_how_a_jet_was_turned_or_mirrored_or_how_hard_it_is(make_jets: MakeJets):
    jets = make_jets(3, 2, seed=2)
    angle = 0.7
    turned = jets._replace(
        eta=jets.eta * np.cos(angle) - jets.phi * np.sin(angle) + 0.05,
        phi=-(jets.eta * np.sin(angle) + jets.phi * np.cos(angle)) - 0.02,
        pt=3 * jets.pt,
    )
    for ours, theirs in zip(aligned(jets), aligned(turned), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_the_centroid_is_in_the_middle_the_axis_upright_and_most_of_it_above_and_right():
    jet, share, x, y = aligned(one([3.0, 1.0, 0.5], [0.1, 0.5, 0.3], [0.2, 0.2, 0.3]))
    assert (jet == 0).all()
    assert (share * x).sum() == pytest.approx(0, abs=1e-12)
    assert (share * y).sum() == pytest.approx(0, abs=1e-12)
    assert (share * x * y).sum() == pytest.approx(0, abs=1e-12)
    assert (share * y**2).sum() > (share * x**2).sum()
    assert share[y > 0].sum() > 0.5
    assert share[x > 0].sum() >= 0.5


def test_particles_beyond_the_edge_are_not_drawn():
    drawn = images(one([100.0, 1.0], [0.0, 3 * HALF_SIDE], [0.0, 0.0]))
    assert (drawn[..., 0] > 0).sum() == 1
    assert drawn.sum() == pytest.approx(100 / 101 / PT_UNIT + 1)


def test_a_jet_of_one_particle_and_one_of_none():
    lonely = images(one([5.0], [0.3], [0.1], [False]))[0]
    assert lonely[PIXELS // 2, PIXELS // 2].tolist() == [0.0, pytest.approx(1 / PT_UNIT), 0.0]
    nothing = images(Constituents(np.array([0, 0]), *[np.zeros(0)] * 3, np.zeros(0, bool)))
    assert nothing.shape == (2, PIXELS, PIXELS, 3)
    assert not nothing.any()


def test_constituents_are_those_of_the_links_weighted_and_from_the_axis(make_events: MakeEvents):
    events = make_events()
    found = constituents(events)
    assert found.counts.tolist() == [30] * 6
    assert np.bincount(found.jet, found.pt) == pytest.approx(np.full(6, 600.0), rel=1e-4)
    assert np.hypot(found.eta, found.phi).max() < 0.8
    chosen = np.array([False, True, False, False, True, False])
    some = constituents(events, chosen)
    assert some.counts.tolist() == [30, 30]
    assert some.pt.tolist() == found.pt[np.isin(found.jet, [1, 4])].tolist()


@pytest.mark.parametrize(
    ("branch", "value"),
    [
        ("PFCands_pt", np.nan),
        ("PFCands_eta", np.inf),
        ("PFCands_phi", np.nan),
        ("PFCands_pt", -1.0),
        ("PFCands_puppiWeight", 0.0),
        ("PFCands_puppiWeight", np.nan),
        ("FatJetPFCands_jetIdx", 7),
        ("FatJetPFCands_jetIdx", -1),
        ("FatJetPFCands_pFCandsIdx", 10**6),
        ("FatJet_eta", np.nan),
    ],
)
def test_particles_that_make_no_sense_are_left_out(make_events: MakeEvents, branch: str, value: Any):
    events = make_events()
    broken = ak.with_field(events, ak.where(ak.local_index(events[branch]) == 0, value, events[branch]), branch)
    found = constituents(broken)
    assert len(found.counts) == 6
    assert 0 < found.counts.sum() < 180
    assert all(np.isfinite(column).all() for column in found[1:])
    assert np.isfinite(images(found)).all()


def test_no_events_and_no_jets(make_events: MakeEvents):
    assert images(constituents(make_events()[:0])).shape == (0, PIXELS, PIXELS, 3)
    assert constituents(make_events((0, 0, 1))[:2]).counts.tolist() == []
