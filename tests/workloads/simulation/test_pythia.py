from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.simulation.processes import PROCESSES, find
from sonic.workloads.simulation.pythia import concatenate, generate, heavy_quark


@pytest.mark.parametrize(
    ("code", "quark"),
    [
        *((511, 5), (-521, 5), (5122, 5), (553, 5), (541, 5), (411, 4), (-4122, 4), (443, 4), (10411, 4)),
        *((211, 0), (3122, 0), (2212, 0), (5, 0), (21, 0), (22, 0), (1000010020, 0)),
    ],
)
def test_heavy_hadrons_by_their_code(code: int, quark: int):
    assert heavy_quark(np.array([code])).tolist() == [quark]


def test_a_process_is_found_by_name():
    assert find("tt") is PROCESSES[0]
    with pytest.raises(ConfigError, match="no process 'higgs': there are tt, "):
        find("higgs")


@pytest.fixture(scope="module")
def pairs():
    pytest.importorskip("pythia8mc")
    return generate(find("tt").settings(3), 8, chunk=3)


def test_events_are_numbered_and_conserve_momentum(pairs):
    stable = pairs.stable
    assert pairs.events == 8
    assert np.array_equal(np.unique(stable.event), np.arange(8))
    assert (np.diff(stable.event) >= 0).all()
    for component, total in ((stable.px, 0), (stable.py, 0), (stable.pz, 0), (stable.energy, 13_000)):
        assert np.bincount(stable.event, component) == pytest.approx(total, abs=0.1)
    assert np.bincount(stable.event, stable.charge).tolist() == [2.0] * 8


def test_top_pairs_have_bottom_hadrons_and_partons(pairs):
    bottom = heavy_quark(pairs.heavy.pdg_id) == 5
    assert (np.bincount(pairs.heavy.event[bottom], minlength=8) >= 2).all()
    assert (np.bincount(pairs.partons.event, minlength=8) > 2).all()
    assert set(np.unique(np.abs(pairs.partons.pdg_id))) <= {1, 2, 3, 4, 5, 21}
    # Bottom hadrons fly: their daughters are made millimetres away.
    assert np.hypot(pairs.stable.vx, pairs.stable.vy).max() > 0.1


def test_the_same_seed_gives_the_same_events(pairs):
    again = generate(find("tt").settings(3), 8, chunk=3).stable
    other = generate(find("tt").settings(4), 8, chunk=3).stable
    assert np.array_equal(again.px, pairs.stable.px)
    assert len(other) != len(again) or not np.array_equal(other.px, again.px)


def test_joining_keeps_events_together(pairs):
    joined = concatenate([pairs.stable, pairs.heavy])
    assert len(joined) == len(pairs.stable) + len(pairs.heavy)
    assert (np.diff(joined.event) >= 0).all()


def test_settings_that_pythia_does_not_know():
    pytest.importorskip("pythia8mc")
    with pytest.raises(ConfigError, match="does not know the setting 'Higgs:everything = on'"):
        generate(("Print:quiet = on", "Higgs:everything = on"), 1)
