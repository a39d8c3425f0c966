from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.errors import ModuleError
from sonic.testing.compare import differences
from sonic.workloads.tracking import gnn, workflow
from sonic.workloads.tracking.sample import write_events
from sonic.workloads.tracking.simulation import Beam, Event, events

if TYPE_CHECKING:
    from pathlib import Path

NONE = np.empty((5, 0))
MADE = [*events(4, Beam(particles=30), seed=73), *events(1, Beam(particles=0), seed=74), *events(1, Beam(40), seed=75)]


def _hits(layer: list[int], phi: list[float], z_mm: list[float]) -> Event:
    return Event(np.array(layer, np.int64), np.array(phi), np.array(z_mm), np.full(len(layer), -1), NONE)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tracks") / "tracks.root"
    write_events(file, MADE)
    return file


def test_a_file_without_events(tmp_path: Path) -> None:
    write_events(tmp_path / "none.root", [])
    report = sonic.run(gnn.workflow(), [tmp_path / "none.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == 0


def test_direct_and_as_a_service_give_the_same_tracks(sample: Path, tmp_path: Path) -> None:
    job = gnn.workflow()
    report = sonic.run(job, [sample], tmp_path / "direct.root", mode="direct", threads=1, chunk_size=6)
    summary = report.summaries["tracking_performance"]
    assert summary["efficiency"] > 0.95
    assert summary["fake rate"] < 0.05
    sonic.run(job, [sample], tmp_path / "own.root", mode="direct", threads=2, chunk_size=1)
    with sonic.serve(job.models, cores=1, models=["trackgnn", "track_fit"]) as server:
        sonic.run(job, [sample], tmp_path / "service.root", servers=[server.grpc_url], chunk_size=4, threads=2)
    for other in ("own", "service"):
        assert differences(tmp_path / "direct.root", tmp_path / f"{other}.root") == []
    with uproot.open(tmp_path / "direct.root") as file:
        tracks = file["Events"].arrays(["Track_good", "Track_d0"])
    assert ak.num(tracks.Track_d0).tolist()[4] == 0
    assert ak.sum(tracks.Track_good) > 140


@pytest.mark.parametrize("made", [workflow.workflow, gnn.workflow])
def test_events_that_hold_no_track(made: object, tmp_path: Path) -> None:
    (plain,) = events(1, Beam(particles=3), seed=76)
    lost = Event(plain.layer, np.full(len(plain), np.nan), plain.z_mm, plain.particle, plain.tracks)
    odd = [
        _hits([], [], []),
        _hits([3], [0.1], [5.0]),
        _hits([0, 9], [0.0, 3.0], [0.0, 900.0]),  # no edge
        _hits([1, 2, 3], [0.1, np.inf, 0.1], [5.0, 5.0, np.nan]),
        _hits(list(range(10)), [0.0] * 10, [1e300] * 5 + [-1e300] * 5),
        lost,
    ]
    write_events(tmp_path / "odd.root", [*odd, plain])
    for chunk_size in (1, 10):
        report = sonic.run(
            made(), [tmp_path / "odd.root"], tmp_path / "out.root", mode="direct", threads=1, chunk_size=chunk_size
        )
        with uproot.open(tmp_path / "out.root") as file:
            assert ak.num(file["Events"]["Track_good"].array()).tolist() == [0] * 6 + [3]
        assert report.summaries["tracking_performance"]["efficiency"] == 0.5  # three of them are without a place


@pytest.mark.parametrize("made", [workflow.workflow, gnn.workflow])
def test_a_layer_that_is_not_there_is_an_error(made: object, tmp_path: Path) -> None:
    write_events(tmp_path / "odd.root", [_hits([3, 12], [0.1, 0.2], [5.0, 6.0])])
    with pytest.raises(ModuleError, match="layers are 0 to 9, given 3 to 12"):
        sonic.run(made(), [tmp_path / "odd.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert not (tmp_path / "out.root").exists()
