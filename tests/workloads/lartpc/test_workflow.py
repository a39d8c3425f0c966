from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.errors import ConfigError, DataError
from sonic.framework.workflow import load
from sonic.testing.compare import differences
from sonic.workloads import zoo
from sonic.workloads.lartpc.particles import Beam
from sonic.workloads.lartpc.sample import write_events
from sonic.workloads.lartpc.simulation import Event, Hits, Pixels, events
from sonic.workloads.lartpc.workflow import LARGE, UNSCORED, HitPerformance, HitScores, HitShapes, workflow

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.framework.workflow import Workflow
    from sonic.workloads.lartpc.chamber import Chamber


@pytest.fixture(scope="module")
def job(chamber: Chamber, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow, with its own network in a folder that has no other."""
    folder = tmp_path_factory.mktemp("models")
    zoo.build("emtrackmichel", folder)
    return replace(workflow(chamber, request_rows=235), models=folder)


@pytest.fixture(scope="module")
def sample(simulated: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("argon") / "events.root"
    write_events(file, simulated[:4])
    return file


def test_every_route_gives_the_same_scores(job: Workflow, sample: Path, chamber: Chamber, tmp_path: Path) -> None:
    direct = sonic.run(job, [sample], tmp_path / "direct.root", mode="direct", threads=1)
    with sonic.serve(job.models, cores=1) as server:
        report = sonic.run(job, [sample], tmp_path / "service.root", servers=[server.grpc_url], threads=2)
        large = replace(workflow(chamber, request_rows=1720), models=job.models)
        other = sonic.run(large, [sample], tmp_path / "large.root", servers=[server.grpc_url], chunk_size=3)
    for name in ("service", "large"):
        assert differences(tmp_path / "direct.root", tmp_path / f"{name}.root") == []
    with uproot.open(sample) as file:
        counts = ak.num(file["Events"]["Hit_wire"].array()).tolist()
    asked = {module.name: module.offload.requests for module in report.modules if module.offload}
    assert asked == {"hit_scores": sum(-(-count // 235) for count in counts)}
    assert {module.offload.requests for module in other.modules if module.offload} == {
        -(-sum(counts[:3]) // 1720) + -(-counts[3] // 1720)
    }
    summary = direct.summaries["hit_performance"]
    assert summary == report.summaries["hit_performance"]
    assert direct.errors == report.errors == other.errors
    down, up = direct.errors["hit_performance"]["efficiency track"]
    assert 0 < down == up < 0.5
    assert summary["hits"] == sum(counts)
    assert {"AUC track", "AUC em", "efficiency track", "purity em, straightness"} <= summary.keys()
    assert direct.chunks == 4


def test_options() -> None:
    assert load("protodune", ["request_rows=235"]).offloads()[0].request_rows == 235
    assert load("protodune").offloads()[0].request_rows == LARGE
    with pytest.raises(ConfigError, match="request_rows"):
        load("protodune", ["request_rows=many"])


def odd(chamber: Chamber) -> list[Event]:
    """Events that nobody wants: nothing, one hit, hits and pixels that make no sense."""

    def made(hits: list[tuple[float, ...]], pixels: list[tuple[float, ...]]) -> Event:
        plane, wire, sample = np.array(hits, float).reshape(-1, 3).T
        own = Hits(plane.astype(int), wire.astype(int), sample, np.ones(len(plane)), np.ones(len(plane)))
        columns = np.array(pixels, float).reshape(-1, 4).T
        lit = Pixels(*columns[:3].astype(int), columns[3])  # type: ignore[arg-type]
        return Event(lit, own, np.full(len(plane), -1), template.particles)

    (template,) = events(1, Beam(0, 0, 0, 0, 0), seed=1, chamber=chamber)
    outside = [(2, 5, np.nan), (9, 5, 7.5), (-1, 5, 7.5), (2, 5, -3.0), (2, 30_000, 7.5)]
    return [
        made([], []),
        made([(2, 5, 7.5)], []),
        made([(2, 5, 7.5), *outside], [(2, 5, 7, 30.0)]),
        made([(0, 3, 3.5)], [(0, 3, 3, np.nan), (5, 3, 3, 10.0), (0, -4, 3, 10.0)]),
    ]


def test_odd_events_have_scores_where_hits_are_in_the_chamber(job: Workflow, chamber: Chamber, tmp_path: Path) -> None:
    write_events(tmp_path / "odd.root", odd(chamber))
    for size in (1, 10):
        files = [tmp_path / "odd.root"], tmp_path / "out.root"
        report = sonic.run(job, *files, mode="direct", threads=1, chunk_size=size)
        with uproot.open(tmp_path / "out.root") as file:
            read = file["Events"].arrays()
        scored = read.Hit_trackScore != UNSCORED
        assert scored.tolist() == [[], [True], [True] + [False] * 5, [True]]
        assert (read.Hit_straightness != UNSCORED).tolist() == scored.tolist()
        assert read.Hit_straightnessKind[2].tolist()[1:] == [-1] * 5
        # Nothing is around the hits of the second and the fourth event.
        assert read.Hit_emScore[1, 0] == read.Hit_emScore[3, 0] != read.Hit_emScore[2, 0]
        assert report.summaries["hit_performance"]["not in the chamber"] == 5
    with sonic.serve(job.models, cores=1) as server:
        sonic.run(job, [tmp_path / "odd.root"], tmp_path / "served.root", servers=[server.grpc_url])
    assert differences(tmp_path / "out.root", tmp_path / "served.root") == []


def test_files_without_truth_have_numbers_of_hits_alone(job: Workflow, sample: Path, tmp_path: Path) -> None:
    with uproot.open(sample) as file, uproot.recreate(tmp_path / "data.root") as data:
        read = file["Events"].arrays()
        columns = {}
        for name, fields in (("Pixel", ("plane", "wire", "sample", "charge")), ("Hit", ("plane", "wire", "sample"))):
            columns[name] = ak.zip({field: read[f"{name}_{field}"] for field in fields})
        data.mktree("Events", {name: column.type.content for name, column in columns.items()})
        data["Events"].extend(columns)
    report = sonic.run(job, [tmp_path / "data.root"], mode="direct", threads=1)
    assert report.summaries["hit_performance"] == {"hits": int(ak.sum(ak.num(read.Hit_wire)))}


def test_files_without_pixels_are_refused(job: Workflow, tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "poor.root") as data:
        data.mktree("Events", {"Hit": "var * {plane: int8, wire: int16, sample: float32}"})
        data["Events"].extend({"Hit": ak.Array([[{"plane": 0, "wire": 1, "sample": 2.0}]])})
    with pytest.raises(DataError, match="Pixel_plane"):
        sonic.run(job, [tmp_path / "poor.root"], mode="direct", threads=1)


def test_an_unknown_kind_and_particle_count_as_none_of_the_kinds(chamber: Chamber) -> None:
    names = (*HitScores.produces, *HitShapes.produces)
    columns = {name: [[0.5, 0.5, 0.5]] for name in names[:-1]} | {names[-1]: [[0, 1, 2]]}
    truth = {"Hit_particle": [[0, 1, 77]], "Particle_kind": [[7, 0]], "Particle_michel": [[False, False]]}
    found = HitPerformance().analyze(ak.Array(columns | truth))
    (part,) = found["parts"].values()
    assert part["network"].sum(axis=1).tolist() == [1, 0, 1]  # a track, and noise; the first is of no known kind
