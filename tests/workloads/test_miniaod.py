from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.errors import DataError
from sonic.testing.compare import differences
from sonic.workloads import miniaod
from sonic.workloads.simulation.pfnano import write_pfnano

if TYPE_CHECKING:
    from pathlib import Path


def record(columns: dict[str, Any]) -> ak.Array:
    return ak.zip({k: ak.Array(v) for k, v in columns.items()}, depth_limit=1)


def test_sums_of_candidates():
    events = record(
        {
            "PFCands_pt": [[3.0, 4.0, 5.0], []],
            "PFCands_phi": [[0.0, np.pi / 2, 0.0], []],
            "PFCands_charge": [[1, -1, 0], []],
            "PFCands_puppiWeight": [[1.0, 0.0, 0.4], []],
        }
    )
    found = miniaod.CandidateSums().produce(events)
    assert found["Cands_nCharged"].tolist() == [2, 0]
    assert found["Cands_nNeutral"].tolist() == [1, 0]
    assert found["Cands_sumPt"].tolist() == [12, 0]
    assert found["PlainMET_pt"].tolist() == pytest.approx([np.hypot(8, 4), 0])
    assert found["WeightedMET_pt"].tolist() == pytest.approx([5, 0])
    assert abs(found["WeightedMET_phi"][0]) == pytest.approx(np.pi)


def test_selection_of_jets():
    events = record({"Jet_pt": [[50.0, 20.0, 90.0], []], "Jet_eta": [[1.0, -2.0, 3.0], []]})
    found = miniaod.JetSelection().produce(events)
    assert found["Jet_taggable"].tolist() == [[True, True, False], []]
    assert found["Jet_good"].tolist() == [[True, False, False], []]
    assert found["Event_nGoodJets"].tolist() == [1, 0]
    assert found["Event_ht"].tolist() == [50, 0]


def test_scores_go_to_the_jets_that_were_sent(generated: ak.Array):
    taggable = np.abs(generated.Jet_eta) < miniaod.TAGGER_MAX_ETA
    events = ak.with_field(generated, taggable, "Jet_taggable")
    tagger = miniaod.Tagger()
    rows = len(tagger.acquire(events)["pf_mask"])
    assert rows == ak.sum(taggable)
    scores = np.zeros((rows, 8), np.float32)
    scores[np.arange(rows), np.arange(rows) % 8] = 1
    found = tagger.produce(events, {"softmax": scores})
    flat = np.asarray(ak.flatten(found["Jet_sonicB"]))
    sent = np.asarray(ak.flatten(taggable))
    assert (flat[~sent] == miniaod.UNTAGGED).all()
    assert flat[sent][:4] == pytest.approx([1, 1, 0, 0], abs=1e-6)
    none = tagger.produce(events[:0], {})
    assert len(none["Jet_sonicB"]) == 0


def test_missing_momentum_is_scaled():
    events = record({"x": [0, 1]})
    found = miniaod.MissingMomentum().produce(events, {"output": np.array([[3.0, 4.0], [0.0, -1.0]], np.float32)})
    assert found["SonicMET_pt"].tolist() == [250, 50]
    assert found["SonicMET_phi"][1] == pytest.approx(-np.pi / 2)


def test_b_jets_and_pairs():
    events = record(
        {
            "Jet_pt": [[60.0, 50.0, 40.0, 35.0]],
            "Jet_eta": [[0.0, 0.0, 1.0, 3.0]],
            "Jet_phi": [[0.0, np.pi, 0.5, 1.0]],
            "Jet_mass": [[0.0, 0.0, 5.0, 5.0]],
            "Jet_good": [[True, True, True, False]],
            "Jet_sonicB": [[0.991, 0.999, 0.0, 1.0]],
        }
    )
    b_jets = miniaod.BJets().produce(events)
    assert b_jets["BJet_pt"].tolist() == [[50, 60]]
    assert b_jets["Jet_sonicIsB"].tolist() == [[True, True, False, False]]
    dijets = miniaod.Dijets().produce(ak.with_field(events, b_jets["Jet_sonicIsB"], "Jet_sonicIsB"))
    assert ak.num(dijets["Dijet_mass"]).tolist() == [3]
    assert dijets["Dijet_mass"][0, 0] == pytest.approx(2 * np.sqrt(60 * 50), rel=1e-5)
    assert dijets["Dijet_deltaR"][0, 0] == pytest.approx(np.pi)
    assert dijets["Dijet_nB"].tolist() == [[2, 1, 1]]
    assert miniaod.TwoGoodJets().select(record({"Event_nGoodJets": [1, 2]})).tolist() == [False, True]


def test_the_cut_is_the_trained_tagger_s_working_point():
    assert 0 < miniaod.b_cut() < 1


@pytest.fixture(scope="module")
def sample(generated: ak.Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sample") / "events.root"
    write_pfnano(file, [generated])
    return file


def test_direct_in_any_chunks_and_as_a_service_give_the_same_file(sample: Path, tmp_path: Path):
    workflow = miniaod.workflow()
    report = sonic.run(workflow, [sample], tmp_path / "direct.root", mode="direct", threads=1)
    sonic.run(workflow, [sample], tmp_path / "chunks.root", mode="direct", threads=2, streams=3, chunk_size=1)
    with sonic.serve(workflow.models) as server:
        sonic.run(workflow, [sample], tmp_path / "service.root", servers=[server.grpc_url], chunk_size=5, threads=2)
    for other in ("chunks", "service"):
        assert differences(tmp_path / "direct.root", tmp_path / f"{other}.root") == []
    assert report.events == 12
    rows = report.summaries["tagger_performance"]
    assert rows["AUC b against light, ParticleNet"] != "no b jets"
    assert report.summaries["met_performance"]["MET residual (GeV), DeepMET"] > 0
    with uproot.open(tmp_path / "direct.root") as file:
        assert "Jet_sonicB" in file["Events"]


def test_a_file_without_the_branches_is_refused(generated: ak.Array, tmp_path: Path):
    file = tmp_path / "poor.root"
    write_pfnano(file, [generated[["Jet_pt", "Jet_eta", "PFCands_pt"]]])
    with pytest.raises(DataError, match="PFCands_phi"):
        sonic.run(miniaod.workflow(), [file], mode="direct", threads=1)


@pytest.mark.data
def test_real_events(shared_data: Path, tmp_path: Path):
    file = shared_data / "data" / "pfnano.root"
    report = sonic.run(miniaod.workflow(), [file], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 10
    tagger, met = report.summaries["tagger_performance"], report.summaries["met_performance"]
    # The sample is of light quarks and gluons.
    assert tagger["AUC b against light, ParticleNet"] == "no b jets"
    assert tagger["AUC b against light, DeepFlavour (CMSSW)"] == "no b jets"
    assert {label.removeprefix("MET residual (GeV), ") for label in met} == {
        "DeepMET",
        "plain sum",
        "PUPPI weights",
        "PF, corrected (CMSSW)",
        "PUPPI (CMSSW)",
        "DeepMET resolution tune (CMSSW)",
        "DeepMET response tune (CMSSW)",
    }
    with uproot.open(file) as real:
        expected = real["Events"]["RawMET_pt"].array()
    with uproot.open(tmp_path / "out.root") as out:
        plain = out["Events"]["PlainMET_pt"].array()
    assert np.asarray(plain) == pytest.approx(np.asarray(expected), abs=1.0)
