from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.lartpc.particles import EM, NONE, TRACK, Beam
from sonic.workloads.lartpc.simulation import events

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Event

NOTHING = Beam(0, 0, 0, 0, 0)


def test_the_same_seed_gives_the_same_events(chamber: Chamber) -> None:
    beam = Beam(through=1, stopping=1, pions=0, protons=0, showers=1)
    (one, two), (again,) = events(2, beam, seed=3, chamber=chamber), events(1, beam, seed=3, chamber=chamber)
    for mine, other in zip(
        (*one.pixels, *one.hits, one.particle), (*again.pixels, *again.hits, again.particle), strict=True
    ):
        assert np.array_equal(mine, other)
    assert len(one.hits.wire) != len(two.hits.wire)


def test_every_hit_has_its_truth(simulated: list[Event], chamber: Chamber) -> None:
    kinds = np.concatenate([event.kind for event in simulated])
    assert (np.bincount(kinds, minlength=3) > 30).all()
    for event in simulated:
        assert len(event.particle) == len(event.kind) == len(event.michel) == len(event.hits.wire)
        assert ((event.kind == NONE) == (event.particle < 0)).all()
        assert (event.kind[event.michel] == EM).all()
        for plane, (wires, samples) in enumerate(chamber.shapes):
            mine = event.hits.plane == plane
            assert (event.hits.wire[mine] < wires).all()
            assert ((event.hits.sample[mine] > 0) & (event.hits.sample[mine] < samples)).all()
    assert any(event.michel.any() for event in simulated)


def test_hits_of_tracks_have_the_charge_that_a_track_leaves_on_a_wire(simulated: list[Event]) -> None:
    charge = np.concatenate([event.hits.charge_ke[event.kind == TRACK] for event in simulated])
    assert 25 < np.percentile(charge, 10) < 60  # a wire sees 5 mm or more, 2 MeV/cm
    noise = np.concatenate([event.hits.charge_ke[event.kind == NONE] for event in simulated])
    assert np.median(noise) < 10


def test_hits_are_of_pixels_that_are_kept(simulated: list[Event]) -> None:
    event = simulated[0]
    lit = set(zip(event.pixels.plane, event.pixels.wire, event.pixels.sample, strict=True))
    real = event.particle >= 0
    where = zip(event.hits.plane[real], event.hits.wire[real], event.hits.sample[real].astype(int), strict=True)
    assert np.mean([place in lit for place in where]) > 0.98


def test_an_event_of_noise(chamber: Chamber) -> None:
    (event,) = events(1, NOTHING, seed=1, chamber=chamber)
    assert set(event.kind) <= {NONE}
    assert not event.michel.any()
    assert len(event.particles.kind) == 0
    assert len(event.pixels.wire) == pytest.approx(sum(w * s for w, s in chamber.shapes) * 1.35e-3, rel=0.3)
