from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

import sonic
from sonic.framework import Measured
from sonic.testing.compare import differences
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.sample import PARTS, write_events
from sonic.workloads.tracking.simulation import Beam, events
from sonic.workloads.tracking.workflow import TrackingPerformance, workflow

if TYPE_CHECKING:
    from pathlib import Path

MADE = [*events(5, Beam(particles=40), seed=71), *events(1, Beam(particles=0), seed=72)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tracks") / "tracks.root"
    write_events(file, MADE)
    return file


def test_direct_and_as_a_service_give_the_same_tracks(sample: Path, tmp_path: Path) -> None:
    job = workflow()
    report = sonic.run(job, [sample], tmp_path / "direct.root", mode="direct", threads=1, chunk_size=4)
    with sonic.serve(job.models, cores=1) as server:
        sonic.run(job, [sample], tmp_path / "service.root", servers=[server.grpc_url], chunk_size=2, threads=2)
    assert differences(tmp_path / "direct.root", tmp_path / "service.root") == []
    summary = report.summaries["tracking_performance"]
    assert summary["efficiency"] > 0.95
    assert summary["fake rate"] < 0.05
    assert 0.8 < summary["pull width, q/pT"] < 1.25
    with uproot.open(tmp_path / "direct.root") as file:
        tracks = file["Events"].arrays(["Track_d0", "Track_good", "Track_chi2"])
    for event, row in zip(MADE, tracks, strict=True):
        fitted = find(event.layer, event.phi, event.z_mm).fitted
        assert np.asarray(row.Track_d0[row.Track_good]).tobytes() == fitted.parameters[:, 0].tobytes()
    assert ak.num(tracks.Track_d0)[-1] == 0


def test_files_without_truth_have_no_figures(sample: Path, tmp_path: Path) -> None:
    with uproot.open(sample) as file, uproot.recreate(tmp_path / "data.root") as data:
        hits = file["Events"].arrays(["Hit_layer", "Hit_phi", "Hit_z"])
        columns = {"Hit": ak.zip({name: hits[f"Hit_{name}"] for name in ("layer", "phi", "z")})}
        data.mktree("Events", {"Hit": columns["Hit"].type.content})
        data["Events"].extend(columns)
    report = sonic.run(workflow(), [tmp_path / "data.root"], tmp_path / "out.root", mode="direct", threads=1)
    assert report.events == len(MADE)
    assert report.summaries.get("tracking_performance", {}) == {}


def test_an_efficiency_of_zero_is_said_and_so_are_fakes_without_particles() -> None:
    (made,) = events(1, Beam(particles=4, noise=0.0, efficiency=1.0), seed=73)
    columns = {"Hit_layer": made.layer, "Hit_phi": made.phi, "Hit_z": made.z_mm, "Hit_particle": made.particle}
    columns |= {f"Particle_{part}": made.tracks[i] for i, part in enumerate(PARTS)}
    columns |= {f"Track_{part}{end}": np.empty(0) for part in PARTS for end in ("", "Error")}
    columns |= {"Track_hits": np.empty((0, 10), np.int64), "Track_good": np.empty(0, bool)}
    analyzer = TrackingPerformance()
    assert analyzer.summarize(analyzer.analyze(ak.Array([columns]))) == {"tracks": 0, "efficiency": 0.0}

    one = {f"Track_{part}{end}": np.ones(1) for part in PARTS for end in ("", "Error")}
    one |= {"Track_hits": np.arange(10)[None], "Track_good": np.ones(1, bool), "Hit_particle": np.full(len(made), -1)}
    assert analyzer.summarize(analyzer.analyze(ak.Array([columns | one]))) == {"tracks": 1, "fake rate": 1.0}


def test_tracks_with_hits_of_others_are_left_out_of_the_pulls_and_counted() -> None:
    (made,) = events(1, Beam(particles=40, noise=0.0), seed=73)
    random = np.random.default_rng(1)
    hits = np.full((40, 10), -1)
    hits[made.particle, made.layer] = np.arange(len(made))
    error = np.full((5, 40), 1e-3)
    fitted = made.tracks + error * random.normal(0, 1, (5, 40))
    fitted[4, :4] += 10 * error[4, :4]
    columns = {"Hit_layer": made.layer, "Hit_phi": made.phi, "Hit_z": made.z_mm, "Hit_particle": made.particle}
    columns |= {f"Particle_{part}": made.tracks[i] for i, part in enumerate(PARTS)}
    columns |= {f"Track_{part}": fitted[i] for i, part in enumerate(PARTS)}
    columns |= {f"Track_{part}Error": error[i] for i, part in enumerate(PARTS)}
    columns |= {"Track_hits": hits, "Track_good": np.ones(40, bool)}
    analyzer = TrackingPerformance()
    figures = analyzer.summarize(analyzer.analyze(ak.Array([columns])))
    left_out, width = figures["left out of these, pull of q/pT above 6"], figures["pull width, q/pT"]
    assert left_out == 0.1
    assert isinstance(width, Measured)
    assert width == pytest.approx(1, abs=4 * width.up)
    assert 0.05 < width.up < 0.2
