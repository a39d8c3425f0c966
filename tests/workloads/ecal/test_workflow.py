from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.testing.compare import differences
from sonic.workloads import MODELS
from sonic.workloads.ecal.sample import generate
from sonic.workloads.ecal.workflow import CELL_BRANCHES, CLUSTER_BRANCHES, EnergyPerformance, cluster_images, workflow

if TYPE_CHECKING:
    from pathlib import Path

JOB = workflow()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ecal") / "electrons.root"
    generate(file, 40, seed=21)
    return file


def changed(sample: Path, target: Path, **branches: Any) -> Path:
    """Write the sample with other values in some branches, and without those that are None."""
    with uproot.open(sample) as file:
        events = file["Events"].arrays()
    names = [*CLUSTER_BRANCHES, *CELL_BRANCHES, "GenElectron_energy"]
    columns: dict[str, dict[str, Any]] = {}
    for name in names:
        values = branches[name](events) if branches.get(name) else events[name]
        if not (name in branches and branches[name] is None):
            collection, _, field = name.partition("_")
            columns.setdefault(collection, {})[field] = values
    made = {name: ak.zip(fields) for name, fields in columns.items()}
    with uproot.recreate(target) as written:
        written.mktree("Events", {name: column.type.content for name, column in made.items()})
        written["Events"].extend(made)
    return target


def test_direct_in_process_and_remote_give_the_same_bits(sample: Path, tmp_path: Path):
    report = sonic.run(JOB, [sample], tmp_path / "direct.root", mode="direct", threads=1, chunk_size=30)
    sonic.run(JOB, [sample], tmp_path / "local.root", servers=[f"local:{MODELS}"], chunk_size=7, threads=2)
    with sonic.serve(MODELS, models=["deepcalo-tiny"], cores=1) as server:
        sonic.run(JOB, [sample], tmp_path / "remote.root", servers=[server.grpc_url], chunk_size=20, threads=1)
    assert differences(tmp_path / "direct.root", tmp_path / "local.root") == []
    assert differences(tmp_path / "direct.root", tmp_path / "remote.root") == []
    with uproot.open(tmp_path / "direct.root") as file:
        found = file["Events"].arrays(["Cluster_energy", "Cluster_windowEnergy", "GenElectron_energy"])
    for name in ("Cluster_energy", "Cluster_windowEnergy"):
        ratio = ak.flatten(found[name] / found.GenElectron_energy)
        assert np.median(ratio) == pytest.approx(1, abs=0.03)
    summary = report.summaries["ecal_performance"]
    assert summary["electrons"] == ak.count(found.Cluster_energy)
    assert "resolution" in summary["DeepCalo, 80 to 150 GeV"]


def test_broken_cells_are_left_out_and_empty_clusters_have_no_energy(sample: Path, tmp_path: Path):
    def energies(events: ak.Array) -> ak.Array:
        first = events.Cell_cluster == 0
        nan, huge = np.float32(np.nan), np.float32(np.inf)
        return ak.values_astype(
            ak.where(first, ak.where(events.Cell_layer == 2, nan, huge), events.Cell_energy), np.float32
        )

    def owners(events: ak.Array) -> ak.Array:
        return ak.values_astype(ak.where(events.Cell_cluster == 1, 99, events.Cell_cluster), np.int32)

    file = changed(sample, tmp_path / "broken.root", Cell_energy=energies, Cell_cluster=owners)
    sonic.run(JOB, [file], tmp_path / "out.root", mode="direct", threads=1)
    with uproot.open(tmp_path / "out.root") as made:
        found = made["Events"].arrays(["Cluster_empty", "Cluster_energy", "Cluster_windowEnergy"])
    number = ak.local_index(found.Cluster_empty)
    assert ak.all(found.Cluster_empty == (number < 2))
    for name in ("Cluster_energy", "Cluster_windowEnergy"):
        assert ak.all((found[name] == 0) == found.Cluster_empty)


def test_files_without_truth_have_no_figures(sample: Path, tmp_path: Path):
    file = changed(sample, tmp_path / "data.root", GenElectron_energy=None)
    report = sonic.run(JOB, [file], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 40
    assert report.summaries.get("ecal_performance", {}) == {}


def test_energies_far_too_high_count_to_the_resolution():
    found = np.full(20, 10.0)
    found[:5] = 99.0  # beyond what the histogram shows
    columns = {"Cluster_energy": found, "Cluster_windowEnergy": found, "Cluster_empty": found < 0}
    columns["GenElectron_energy"] = np.full(20, 10.0)
    performance = EnergyPerformance()
    filled = performance.analyze(ak.Array({name: column[None] for name, column in columns.items()}))
    figures = str(performance.summarize(filled)["window, 10 to 20 GeV"])
    bias, resolution = (float(text) for text in re.findall(r"([+\d.]+) \+- [\d.]+ %", figures))
    assert (bias, resolution) == pytest.approx((0, 50), abs=0.1)


def test_events_with_nothing_in_them(tmp_path: Path):
    generate(tmp_path / "none.root", 4, seed=1, electrons_mean=0.0)
    report = sonic.run(JOB, [tmp_path / "none.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 4
    assert report.summaries["ecal_performance"] == {"electrons": 0}


def test_the_network_can_be_another():
    other = workflow(model="deepcalo")
    assert [module.model for module in other.offloads()] == ["deepcalo"]
    assert replace(other, name="x").offloads()


def test_images_of_events_are_those_of_their_clusters(sample: Path):
    with uproot.open(sample) as file:
        events = file["Events"].arrays([*CLUSTER_BRANCHES, *CELL_BRANCHES])
    parts = [cluster_images(events[i : i + 1]) for i in range(5)]
    assert np.array_equal(np.concatenate(parts), cluster_images(events)[: sum(map(len, parts))])
