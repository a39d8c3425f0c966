from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.tracks import MASS_MEV, follow, kinetic_for, loss, ranges, together

if TYPE_CHECKING:
    from sonic.workloads.lartpc.chamber import Chamber

UP = np.array([0.0, 1.0, 0.0])
MIDDLE = np.array([1800.0, 10.0, 1200.0])


def test_a_muons_least_loss_is_that_of_the_tables() -> None:
    # Groom, Mokhov and Striganov, At. Data Nucl. Data Tables 78 (2001) 183: 1.508 MeV cm2/g at 266 MeV.
    kinetic = np.linspace(150, 500, 351)
    losses = loss(MASS_MEV["muon"], kinetic) / 1.396
    assert losses.min() == pytest.approx(1.508, rel=3e-3)
    assert kinetic[losses.argmin()] == pytest.approx(266, abs=15)


@pytest.mark.parametrize("name", ["muon", "pion", "proton"])
def test_ranges_rise_and_can_be_asked_the_other_way(name: str) -> None:
    kinetic, reach = ranges(name)
    assert (np.diff(reach) > 0).all()
    assert kinetic_for(name, float(reach[1000])) == pytest.approx(kinetic[1000])


def test_a_stopping_track_leaves_its_energy_and_most_of_it_at_its_end() -> None:
    track = follow("muon", MIDDLE, UP, 200.0, PROTODUNE, np.random.default_rng(1), particle=7)
    assert track.stopped
    assert not track.interacted
    assert track.kinetic_mev == 0
    assert track.steps.energy_mev.sum() == pytest.approx(200, rel=0.05)
    assert (track.steps.particle == 7).all()
    assert track.steps.energy_mev[-3:].mean() > 2 * track.steps.energy_mev[:50].mean()
    reach = np.interp(200.0, *ranges("muon"))
    assert np.linalg.norm(track.end_mm - MIDDLE) == pytest.approx(reach, rel=0.05)


def test_a_track_ends_at_the_wall_or_where_it_interacts(chamber: Chamber) -> None:
    start = np.array([300.0, 1.0, 250.0])
    gone = follow("muon", start, UP, 5000.0, chamber, np.random.default_rng(2), particle=0)
    assert not gone.stopped
    assert not gone.interacted
    assert gone.steps.position_mm[:, 1].max() > 690
    assert chamber.inside(gone.steps.position_mm).all()
    short = follow("pion", start, UP, 500.0, chamber, np.random.default_rng(2), particle=0, until_mm=150.0)
    assert short.interacted
    assert 350 < short.kinetic_mev < 500
    assert np.linalg.norm(short.end_mm - start) == pytest.approx(150, rel=0.02)


def test_a_track_outside_leaves_nothing(chamber: Chamber) -> None:
    none = follow("muon", np.array([-50.0, 0, 0]), UP, 100.0, chamber, np.random.default_rng(3), particle=0)
    assert len(none.steps.energy_mev) == 0
    assert len(together([none.steps]).particle) == 0


def test_slow_particles_scatter_more() -> None:
    def bend(kinetic: float) -> float:
        random = np.random.default_rng(4)
        tracks = [follow("muon", MIDDLE, UP, kinetic, PROTODUNE, random, particle=0, until_mm=140.0) for _ in range(50)]
        return float(np.mean([np.arccos(track.direction[1]) for track in tracks]))

    # Highland's formula over a radiation length, on average of two projections, its logarithm left out.
    assert bend(2000.0) == pytest.approx(13.6 / 2100 * np.sqrt(np.pi / 2), rel=0.3)
    assert bend(200.0) > 5 * bend(2000.0)
