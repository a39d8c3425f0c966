from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.testing.compare import differences
from sonic.workloads import MODELS
from sonic.workloads.simulation.pfnano import write_pfnano
from sonic.workloads.toptag.workflow import UNTAGGED, TopTagger, truth, workflow
from sonic.workloads.truth import WIDE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeEvents = Callable[..., ak.Array]


JOB = workflow()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, make_events: MakeEvents) -> Path:
    file = tmp_path_factory.mktemp("jets") / "jets.root"
    write_pfnano(file, [make_events((2, 0, 1, 3, 6, 1))])
    return file


def scores(file: Path) -> ak.Array:
    with uproot.open(file) as opened:
        return opened["Events"]["FatJet_topScore"].array()


def test_direct_in_process_and_remote_give_the_same_bits(sample: Path, tmp_path: Path):
    report = sonic.run(JOB, [sample], tmp_path / "direct.root", mode="direct", threads=1)
    sonic.run(JOB, [sample], tmp_path / "local.root", servers=[f"local:{MODELS}"], chunk_size=2, threads=2)
    with sonic.serve(MODELS, models=["resnet50"], cores=1) as server:
        sonic.run(JOB, [sample], tmp_path / "remote.root", servers=[server.grpc_url], chunk_size=4, threads=1)
    assert differences(tmp_path / "direct.root", tmp_path / "local.root") == []
    assert differences(tmp_path / "direct.root", tmp_path / "remote.root") == []
    found = np.asarray(ak.flatten(scores(tmp_path / "direct.root")))
    assert len(found) == 13
    assert len(np.unique(found)) > 8
    assert ((found > 0) & (found < 1)).all()
    tagger = next(module.offload for module in report.modules if module.offload)
    assert tagger.requests == 2  # of at most ten images
    summary = report.summaries["top_performance"]
    assert (summary["wide jets"], summary["tagged"], summary["top jets"]) == (13, 13, 7)
    assert summary["AUC, ResNet-50"] == 1  # of jets that a child could tell apart


def test_jets_that_cannot_be_tagged_have_no_score(make_events: MakeEvents, tmp_path: Path):
    events = make_events((2, 0, 2))
    number = ak.local_index(events.FatJet_eta)
    events = ak.with_field(events, ak.where(number == 0, np.float32(3.0), events.FatJet_eta), "FatJet_eta")
    gone = ak.where(events.FatJetPFCands_jetIdx == 1, np.int32(-1), events.FatJetPFCands_jetIdx)
    events = ak.with_field(events, gone, "FatJetPFCands_jetIdx")
    write_pfnano(tmp_path / "jets.root", [events])
    report = sonic.run(JOB, [tmp_path / "jets.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert scores(tmp_path / "out.root").tolist() == [[UNTAGGED] * 2, [], [UNTAGGED] * 2]
    assert report.summaries["top_performance"] == {
        "wide jets": 4,
        "tagged": 0,
        "top jets": 0,
        "jets of quarks and gluons": 0,
    }


def test_files_without_truth_have_no_areas_and_those_with_substructure_two(make_events: MakeEvents, tmp_path: Path):
    events = make_events((3,))
    names = [name for name in events.fields if name != "FatJet_truthClass"]
    write_pfnano(tmp_path / "data.root", [events[names]])
    report = sonic.run(JOB, [tmp_path / "data.root"], tmp_path / "a.root", mode="direct", threads=1)
    assert report.summaries["top_performance"] == {"wide jets": 3, "tagged": 3}

    more = {"msoftdrop": events.FatJet_mass, "tau2": 0 * events.FatJet_mass + 1, "tau3": 0 * events.FatJet_mass + 0.5}
    for name, values in more.items():
        events = ak.with_field(events, values, f"FatJet_{name}")
    write_pfnano(tmp_path / "more.root", [events])
    report = sonic.run(JOB, [tmp_path / "more.root"], tmp_path / "b.root", mode="direct", threads=1)
    assert report.summaries["top_performance"]["AUC, mass and tau32"] == 1


def test_truth_is_of_whole_decays_alone():
    names = ("Tbqq", "Tbcq", "Tbq", "Tbmu", "Wqq", "QCDb", "QCDothers")
    classes = np.array([*(WIDE_CLASSES.index(name) for name in names), -1])
    assert truth(classes).tolist() == [1, 1, -1, -1, -1, 0, 0, -1]


@pytest.mark.data
def test_wide_jets_of_real_files_can_be_drawn(shared_data: Path):
    with uproot.open(shared_data / "data" / "pfnano.root") as file:
        events = file["Events"].arrays(list(TopTagger.consumes[:-1]))
    tagged: Any = ak.ones_like(events.FatJet_pt, dtype=bool)
    drawn = TopTagger().acquire(ak.with_field(events, tagged, "FatJet_taggable"))["images"]
    assert len(drawn) == ak.count(events.FatJet_pt)
    assert (drawn[..., 2].sum(axis=(1, 2)) > 5).all()
    assert np.median(drawn[..., :2].sum(axis=(1, 2, 3))) > 95
