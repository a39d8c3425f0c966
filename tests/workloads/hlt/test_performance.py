from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from sonic.framework.module import add
from sonic.workloads.hlt.performance import EnergyPerformance, Rates, TaggingPerformance

JETS = {
    "Jet_pt": [[90.0, 55.0], [40.0], []],
    "Jet_eta": [[0.0, 1.0], [-1.0], []],
    "Jet_phi": [[0.0, 3.1], [1.0], []],
    "Jet_taggable": [[True, True], [True], []],
    "Jet_sonicB": [[0.9, 0.2], [0.1], []],
    "Jet_trackCount": [[0.1, 5.0], [3.0], []],
    "Jet_nTracks": [[5, 7], [3], []],
    "GenJet_pt": [[100.0, 50.0], [41.0, 60.0], []],
    "GenJet_eta": [[0.05, 1.0], [-1.0, 2.0], []],
    "GenJet_phi": [[0.0, -3.1], [1.0, 1.0], []],
    "GenJet_hadronFlavour": [[5, 0], [0, 4], []],
}


@pytest.fixture
def events() -> ak.Array:
    made = ak.Array({name: ak.Array(column) for name, column in JETS.items()})
    for name in ("GenMET", "CaloMET"):
        size = np.array([30.0, 0.0, 0.0] if name == "GenMET" else [40.0, 0.0, 10.0], np.float32)
        made = ak.with_field(made, size, f"{name}_pt")
        made = ak.with_field(made, np.zeros(3, np.float32), f"{name}_phi")
    return made


def summary(analyzer: Any, *parts: ak.Array) -> dict[str, Any]:
    total = analyzer.analyze(parts[0])
    for part in parts[1:]:
        total = add(total, analyzer.analyze(part))
    return dict(analyzer.summarize(total))


def test_jets_are_compared_with_true_ones(events: ak.Array) -> None:
    found = summary(EnergyPerformance(), events[:1], events[1:])
    assert found["true jets above 40 GeV"] == 4
    assert found["of these found"] == pytest.approx(0.75)
    assert found["jet pT found / true, median"] == pytest.approx(0.976, abs=0.08)
    assert found["MET residual (GeV)"] < 10
    assert found == summary(EnergyPerformance(), events)


def test_tags_are_compared_with_flavours(events: ak.Array) -> None:
    found = summary(TaggingPerformance(), events[:2], events[2:])
    assert found["jets tagged, by flavour"] == "1 b, 0 c, 2 light"
    assert found["tracks in a jet"] == 5
    assert found["AUC b against light, ParticleNet"] == 1.0
    assert found["AUC b against light, track counting"] == 0.0
    none = summary(TaggingPerformance(), events[1:])
    assert none["AUC b against light, ParticleNet"] == "b or light jets are missing"
    assert summary(TaggingPerformance(), events[2:]) == {}


def test_without_the_truth_there_is_nothing_to_compare(events: ak.Array) -> None:
    data = events[[name for name in events.fields if not name.startswith("Gen")]]
    assert summary(EnergyPerformance(), data) == summary(TaggingPerformance(), data) == {}


def test_accepted_events_are_counted() -> None:
    paths = {name: np.array([True, False]) for name in Rates.consumes}
    assert summary(Rates(), ak.Array(paths), ak.Array(paths))["accepted by any"] == 2
