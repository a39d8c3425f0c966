from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

pytest.importorskip("scipy")

import sonic
from sonic.errors import ModuleError
from sonic.testing.compare import differences
from sonic.workloads import MODELS
from sonic.workloads.hgcal.sample import HITS, write_events
from sonic.workloads.hgcal.simulation import Beam, events
from sonic.workloads.hgcal.workflow import workflow

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.framework import Workflow

NAN = float("nan")
CLUSTERS = ["Cluster_energy", "Cluster_hits", "Hit_cluster", "Hit_density", "DensityCluster_energy"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow with a repository of its one model: the others need not be loaded."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "gravnet-oc", folder / "gravnet-oc")
    return replace(workflow(), models=folder)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("showers") / "showers.root"
    write_events(file, [*events(8, seed=201), *events(1, Beam(0, 0, noise_hits=0), seed=202)])
    return file


def test_direct_and_as_a_service_give_the_same_showers(job: Workflow, sample: Path, tmp_path: Path):
    report = sonic.run(job, [sample], tmp_path / "direct.root", mode="direct", threads=1)
    with sonic.serve(job.models, cores=1) as server:
        sonic.run(job, [sample], tmp_path / "service.root", servers=[server.grpc_url], threads=2, streams=4)
        shared = f"local:{job.models}?cores=1"
        sonic.run(job, [sample], tmp_path / "local.root", servers=[shared], threads=1)
    assert differences(tmp_path / "direct.root", tmp_path / "service.root") == []
    assert differences(tmp_path / "direct.root", tmp_path / "local.root") == []
    summary = report.summaries["shower_performance"]
    for name in ("GravNet", "density"):
        assert summary[f"{name}, efficiency"] > 0.6
        assert summary[f"{name}, fake rate"] < 0.4
        assert 0.8 < summary[f"{name}, electromagnetic response"] < 1.2


def test_hits_that_make_no_sense_are_in_no_cluster_and_change_no_other(job: Workflow, sample: Path, tmp_path: Path):
    with uproot.open(sample) as file:
        rows = file["Events"].arrays(HITS)[:2]
    arrays = {name: [np.asarray(row) for row in rows[name]] for name in HITS}
    extra = {
        "Hit_layer": [3, -1, 50, 7],
        "Hit_x": [1.0, 1.0, 1.0, NAN],
        "Hit_y": [1.0] * 4,
        "Hit_energy": [NAN, 5, 5, 5],
    }
    broken = {name: [np.concatenate([each, extra[name]]) for each in arrays[name]] for name in HITS}
    broken["Hit_layer"] = [each.astype(np.int32) for each in broken["Hit_layer"]]
    files = tmp_path / "whole.root", tmp_path / "broken.root"
    for path, columns in zip(files, (arrays, broken), strict=True):
        hits = ak.zip({name.removeprefix("Hit_"): ak.Array(column) for name, column in columns.items()})
        with uproot.recreate(path) as file:
            file.mktree("Events", {"Hit": hits.type.content})
            file["Events"].extend({"Hit": hits})
    reports = [sonic.run(job, [path], tmp_path / f"out-{path.name}", mode="direct", threads=1) for path in files]
    assert [report.summaries.get("shower_performance", {}) for report in reports] == [{}, {}], "no truth, no figures"
    one, other = (uproot.open(tmp_path / f"out-{path.name}")["Events"].arrays(CLUSTERS) for path in files)
    for name in ("Cluster_energy", "Cluster_hits", "DensityCluster_energy"):
        assert ak.to_list(one[name]) == ak.to_list(other[name])
    for name in ("Hit_cluster", "Hit_density"):
        assert ak.to_list(other[name][:, -4:]) == [[-1] * 4] * 2
        assert ak.to_list(other[name][:, :-4]) == ak.to_list(one[name])


def test_no_hits_and_one(job: Workflow, tmp_path: Path):
    made = events(2, Beam(1, 1, noise_hits=0), seed=203)
    only = np.zeros(1, int), np.zeros(0, int)
    few = [
        replace(each, hits=each.hits.chosen(which), shower=each.shower[which], fraction=each.fraction[which])
        for each, which in zip(made, only, strict=True)
    ]
    write_events(tmp_path / "few.root", few)
    report = sonic.run(job, [tmp_path / "few.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert report.summaries["shower_performance"]["GravNet, showers found"] == "0 of 0"
    with uproot.open(tmp_path / "out.root") as file:
        rows = file["Events"].arrays(CLUSTERS)
    assert ak.num(rows.Hit_cluster).tolist() == [1, 0]
    assert len(rows.Cluster_energy[1]) == 0


def test_a_request_has_one_event(job: Workflow, sample: Path):
    with pytest.raises(ModuleError, match="one event: expected chunks of 1, given 4"):
        sonic.run(job, [sample], mode="direct", threads=1, chunk_size=4)
