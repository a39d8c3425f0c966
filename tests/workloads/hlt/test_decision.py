from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.workloads.hlt.decision import Accept, Decision, Menu

MENU = Menu(jet_gev=100, ht_gev=200, met_gev=50, bjets_gev=30, bjets=2, b_cut=0.5)


def decided(pt: list[float], score: list[float], ht: float = 0.0, met: float = 0.0) -> list[str]:
    jets = {"Jet_pt": [pt], "Jet_sonicB": [score], "Jet_taggable": [[one >= 0 for one in score]]}
    events = ak.Array({name: ak.from_iter(column) for name, column in jets.items()})
    events = ak.with_field(events, np.array([ht], np.float32), "Event_ht")
    events = ak.with_field(events, np.array([met], np.float32), "CaloMET_pt")
    found = Decision(MENU).produce(events)
    assert Accept().select(ak.Array(found)).tolist() == [any(found[name][0] for name in Decision.produces[:-1])]
    return [name.removeprefix("HLT_") for name in Decision.produces[:-1] if found[name][0]]


def test_each_path_has_its_threshold() -> None:
    assert decided([99.0, 60.0], [0.1, 0.2], ht=199, met=49) == []
    assert decided([100.0], [0.1]) == ["jet"]
    assert decided([60.0], [0.1], ht=200) == ["ht"]
    assert decided([60.0], [0.1], met=50) == ["met"]
    assert decided([60.0, 40.0], [0.6, 0.7]) == ["bjets"]
    assert decided([60.0, 40.0, 20.0], [0.6, 0.4, 0.9]) == []
    assert decided([500.0, 400.0], [0.9, 0.9], ht=900, met=100) == ["jet", "ht", "met", "bjets"]


def test_events_without_jets() -> None:
    events = ak.Array({"Jet_pt": [[1.0]], "Jet_sonicB": [[0.1]], "Jet_taggable": [[True]]})[:, 0:0]
    events = ak.with_field(events, np.zeros(1, np.float32), "Event_ht")
    events = ak.with_field(events, np.zeros(1, np.float32), "CaloMET_pt")
    found = Decision().produce(events)
    assert not any(found[name][0] for name in Decision.produces)


def test_a_menu_that_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"thresholds are 0 or more, given Menu\(jet_gev=-1"):
        Menu(jet_gev=-1)
