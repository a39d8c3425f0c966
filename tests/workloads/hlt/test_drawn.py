from __future__ import annotations

import numpy as np

from sonic.workloads.hlt.drawn import collisions

MADE = collisions(60, seed=1)


def test_the_same_seed_gives_the_same_collisions() -> None:
    again = collisions(60, seed=1)
    assert again.stable.px.tobytes() == MADE.stable.px.tobytes()
    assert collisions(60, seed=2).stable.px.tobytes() != MADE.stable.px.tobytes()
    # An event does not depend on how many there are.
    few = collisions(5, seed=1).stable
    assert few.px.tobytes() == MADE.stable[MADE.stable.event < 5].px.tobytes()


def test_momenta_balance() -> None:
    stable = MADE.stable
    assert (np.diff(stable.event) >= 0).all()
    for part in (stable.px, stable.py):
        assert np.abs(np.bincount(stable.event, part, 60)).max() < 0.3 * np.bincount(stable.event, stable.pt, 60).max()
    total = np.hypot(*(np.bincount(stable.event, part, 60) for part in (stable.px, stable.py)))
    assert np.median(total / np.bincount(stable.event, stable.pt, 60)) < 0.1


def test_b_jets_have_a_hadron_that_decays_away_from_the_beam() -> None:
    assert set(np.unique(np.abs(MADE.heavy.pdg_id))) == {511}
    with_b = np.isin(MADE.stable.event, MADE.heavy.event)
    flight_cm = np.hypot(MADE.stable.vx, MADE.stable.vy)
    assert (flight_cm[~with_b] == 0).all()
    assert 0.05 < flight_cm[flight_cm > 0].mean() < 3
    assert (np.abs(MADE.partons.pdg_id) == 5).sum() == len(MADE.heavy)


def test_some_of_it_is_seen_by_nobody() -> None:
    assert 0 < len(np.unique(MADE.stable.event[MADE.stable.invisible])) < 30
    charged = np.abs(MADE.stable.pdg_id) == 211
    assert (MADE.stable.charge[charged] == np.sign(MADE.stable.pdg_id[charged])).all()
    assert (MADE.stable.charge[~charged] == 0).all()


def test_no_collisions() -> None:
    made = collisions(0, seed=1)
    assert made.events == len(made.stable) == len(made.heavy) == 0
