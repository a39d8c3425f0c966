from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from sonic.workloads.features import MAX_JET_ETA, tau_candidates, tau_inputs
from sonic.workloads.miniaod import modules, offloads
from sonic.workloads.truth import WIDE_CLASSES

if TYPE_CHECKING:
    from sonic.framework import Offload


def record(columns: dict[str, Any]) -> ak.Array:
    return ak.zip({k: ak.Array(v) for k, v in columns.items()}, depth_limit=1)


def test_scores_go_to_the_jets_that_were_sent(generated: ak.Array):
    taggable = np.abs(generated.Jet_eta) < MAX_JET_ETA
    events = ak.with_field(generated, taggable, "Jet_taggable")
    tagger = offloads.Tagger()
    rows = len(tagger.acquire(events)["pf_mask"])
    assert rows == ak.sum(taggable)
    scores = np.zeros((rows, 8), np.float32)
    scores[np.arange(rows), np.arange(rows) % 8] = 1
    found = tagger.produce(events, {"softmax": scores})
    flat = np.asarray(ak.flatten(found["Jet_sonicB"]))
    sent = np.asarray(ak.flatten(taggable))
    assert (flat[~sent] == offloads.UNTAGGED).all()
    assert flat[sent][:4] == pytest.approx([1, 1, 0, 0], abs=1e-6)
    none = tagger.produce(events[:0], {})
    assert len(none["Jet_sonicB"]) == 0


def test_missing_momentum_is_scaled():
    events = record({"x": [0, 1]})
    found = offloads.MissingMomentum().produce(events, {"output": np.array([[3.0, 4.0], [0.0, -1.0]], np.float32)})
    assert found["SonicMET_pt"].tolist() == [250, 50]
    assert found["SonicMET_phi"][1] == pytest.approx(-np.pi / 2)


def with_columns(events: ak.Array, *producers: Any) -> ak.Array:
    for producer in producers:
        for name, column in producer.produce(events).items():
            events = ak.with_field(events, column, name)
    return events


def test_scores_go_to_the_wide_jets_that_were_sent(boosted: ak.Array):
    events = with_columns(boosted, modules.WideJetSelection())
    tagger = offloads.WideTagger()
    rows = len(tagger.acquire(events)["pf_mask"])
    assert rows == ak.sum(events.FatJet_taggable) > 0
    scores = np.zeros((rows, len(WIDE_CLASSES)), np.float32)
    scores[:, WIDE_CLASSES.index("Tbqq")] = 1
    found = tagger.produce(events, {"softmax": scores})
    sent = np.asarray(ak.flatten(events.FatJet_taggable))
    assert np.asarray(ak.flatten(found["FatJet_sonicTvsQCD"]))[sent] == pytest.approx(1)
    assert np.asarray(ak.flatten(found["FatJet_sonicWvsQCD"]))[sent] == pytest.approx(0)
    assert (np.asarray(ak.flatten(found["FatJet_sonicTvsQCD"]))[~sent] == offloads.UNTAGGED).all()


def test_the_candidates_of_the_job_are_sent(generated: ak.Array):
    events = with_columns(generated, modules.TauSelection())
    sent = offloads.TauIdentification().acquire(events)
    direct = tau_inputs(generated)
    counts = tau_candidates(generated).counts
    assert counts.sum() > 5
    for name, values in direct.items():
        assert np.array_equal(sent[name], values), name
    scores = np.arange(4 * counts.sum(), dtype=np.float32).reshape(-1, 4)
    found = offloads.TauIdentification().produce(events, {"probabilities": scores})
    assert ak.num(found["TauCand_scoreTau"]).tolist() == counts.tolist()
    assert np.asarray(ak.flatten(found["TauCand_scoreTau"])).tolist() == scores[:, 2].tolist()


@pytest.mark.parametrize(
    "offload", [offloads.Tagger(), offloads.WideTagger(), offloads.MissingMomentum(), offloads.TauIdentification()]
)
def test_events_without_anything_make_empty_columns(offload: Offload, generated: ak.Array):
    selections = modules.JetSelection(), modules.WideJetSelection(), modules.TauSelection()
    bare = {
        name: column if column.ndim == 1 else column[:, :0]
        for name, column in zip(generated.fields, ak.unzip(generated), strict=True)
    }
    events = with_columns(ak.zip(bare, depth_limit=1), *selections)
    rows = {len(array) for array in offload.acquire(events).values()}
    assert rows == ({len(events)} if offload.name == "deepmet" else {0})
    products = offload.produce(events, {})
    assert {*products} == {*offload.produces}
    assert all(len(column) == len(events) for column in products.values())
