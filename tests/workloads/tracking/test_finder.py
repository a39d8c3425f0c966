from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.workloads.tracking.finder import Search, find
from sonic.workloads.tracking.helix import QPT
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.simulation import Beam, events

if TYPE_CHECKING:
    from sonic.workloads.tracking.matching import Matched
    from sonic.workloads.tracking.simulation import Event


def _found(made: list[Event], search: Search | None = None) -> list[Matched]:
    return [match(event, find(event.layer, event.phi, event.z_mm, search).hits) for event in made]


def _rates(rows: list[Matched]) -> tuple[float, float, float]:
    findable = np.concatenate([row.findable for row in rows])
    particle = np.concatenate([row.particle for row in rows])
    return (
        float(np.concatenate([row.found for row in rows])[findable].mean()),
        float((particle < 0).mean()),
        float(np.concatenate([row.again for row in rows]).mean()),
    )


def test_tracks_are_found_and_few_are_fakes() -> None:
    efficiency, fakes, again = _rates(_found(events(3, Beam(particles=150), seed=31)))
    assert efficiency > 0.98
    assert fakes < 0.01
    assert again < 0.01


def test_noise_makes_fakes_before_it_hides_tracks() -> None:
    loose = Search(min_hits=3, max_holes=6, triplet_z_mm=20.0, max_chi2_per_degree=50.0)
    made = events(1, Beam(particles=60, noise=6.0), seed=32)
    assert _rates(_found(made))[0] > 0.95
    assert _rates(_found(made, loose))[1] > 0.3 > _rates(_found(made))[1]


def test_tracks_with_missing_hits_take_holes_and_other_triplets() -> None:
    made = events(2, Beam(particles=60, efficiency=0.93, noise=0.0), seed=33)
    usual = _rates(_found(made))[0]
    assert usual > 0.93
    assert usual > _rates(_found(made, Search(max_holes=0)))[0]
    assert usual > _rates(_found(made, Search(triplets=((0, 1, 2),))))[0]


def test_a_found_track_has_the_momentum_of_its_particle() -> None:
    (event,) = events(1, Beam(particles=50), seed=34)
    found = find(event.layer, event.phi, event.z_mm)
    particle = match(event, found.hits).particle
    pull = found.fitted.parameters[:, QPT] - event.tracks[QPT, particle]
    pull /= np.sqrt(found.fitted.covariance[:, QPT, QPT])
    assert len(pull) > 40
    assert np.abs(np.median(pull)) < 0.5
    assert np.percentile(np.abs(pull), 68) < 1.5


def test_tracks_share_no_more_hits_than_allowed() -> None:
    (event,) = events(1, Beam(particles=150, noise=1.0), seed=35)
    for shared in (0, 1):
        hits = find(event.layer, event.phi, event.z_mm, Search(max_shared=shared, triplets=((0, 1, 2),))).hits
        taken: set[int] = set()
        for row in np.sort(hits, axis=1):
            own = set(row[row >= 0].tolist())
            assert len(own) >= Search().min_hits
            taken |= own
        if shared == 0:
            assert len(taken) == (hits >= 0).sum()


def test_the_order_of_the_hits_does_not_matter() -> None:
    (event,) = events(1, Beam(particles=40), seed=36)
    order = np.random.default_rng(1).permutation(len(event))
    one = find(event.layer, event.phi, event.z_mm).hits
    other = find(event.layer[order], event.phi[order], event.z_mm[order]).hits
    sets = [
        {frozenset(row[row >= 0].tolist()) for row in hits} for hits in (one, np.where(other >= 0, order[other], -1))
    ]
    assert sets[0] == sets[1]


def test_bad_events() -> None:
    nothing = find(np.empty(0, np.int64), np.empty(0), np.empty(0))
    assert nothing.hits.shape == (0, 10)
    assert nothing.fitted.parameters.shape == (0, 5)
    assert len(find(np.array([3]), np.array([0.1]), np.array([1.0])).hits) == 0
    (event,) = events(1, Beam(particles=20), seed=37)
    lost = dataclasses.replace(event, phi=np.full(len(event), np.nan))
    assert len(find(lost.layer, lost.phi, lost.z_mm).hits) == 0
    some = np.where(np.arange(len(event)) % 40 == 0, np.nan, event.z_mm)
    assert len(find(event.layer, event.phi, some).hits) > 15
    with pytest.raises(InvalidRequest, match="given 2, 1 and 2"):
        find(np.zeros(2, int), np.zeros(1), np.zeros(2))
    with pytest.raises(InvalidRequest, match="layers are 0 to 9, given -1 to 10"):
        find(np.array([-1, 10]), np.zeros(2), np.zeros(2))
