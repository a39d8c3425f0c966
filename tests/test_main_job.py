"""The main job, `miniaod`, over every route that its networks can be reached by."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sonic
from sonic.client.fallback import ServeProcess
from sonic.errors import ModuleError
from sonic.testing.compare import differences
from sonic.workloads import MODELS
from sonic.workloads.miniaod import workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

GENERATED = Path(__file__).resolve().parents[1] / "demo" / "generated.root"


@pytest.fixture(scope="module")
def server() -> Iterator[ServeProcess]:
    with ServeProcess([MODELS]) as process:
        yield process


@pytest.fixture(scope="module", params=["generated", "real"])
def sample(request: pytest.FixtureRequest) -> Path:
    if request.param == "generated":
        return GENERATED
    folder: Path = request.getfixturevalue("shared_data")
    return folder / "data" / "pfnano.root"


@pytest.fixture(scope="module")
def reference(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the direct run."""
    output = tmp_path_factory.mktemp("direct") / "out.root"
    report = sonic.run(workflow(), [sample], output, mode="direct", chunk_size=10, repeat=2)
    assert report.events_written == report.events > 0
    return output


def _run(sample: Path, output: Path, **options: Any) -> Any:
    return sonic.run(workflow(), [sample], output, **{"chunk_size": 10, "repeat": 2, **options})


@pytest.mark.parametrize("chunk_size", [1, 7])
def test_the_size_of_a_chunk_changes_no_bit(sample: Path, reference: Path, tmp_path: Path, chunk_size: int) -> None:
    _run(sample, tmp_path / "out.root", mode="direct", chunk_size=chunk_size)
    assert differences(reference, tmp_path / "out.root") == []


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("mode", ["async", "sync", "pseudo_async"])
def test_a_service_changes_no_bit(
    server: ServeProcess, sample: Path, reference: Path, tmp_path: Path, scheme: str, mode: str
) -> None:
    """Many streams of small chunks, so that the server batches requests of different chunks together."""
    url = getattr(server, f"{scheme}_url")
    options = {"servers": [url], "fallback": False, "offload_mode": mode, "streams": 12, "chunk_size": 2}
    report = _run(sample, tmp_path / "out.root", **options)
    assert [use.url for use in report.servers] == [url]
    assert differences(reference, tmp_path / "out.root") == []


def test_a_server_of_the_jobs_own_changes_no_bit(sample: Path, reference: Path, tmp_path: Path) -> None:
    report = _run(sample, tmp_path / "out.root")
    assert report.external_s > 0
    assert differences(reference, tmp_path / "out.root") == []


class _Killer:
    """Kills a server when some events are done."""

    def __init__(self, server: ServeProcess) -> None:
        self._pid = server.pid
        self.at: int | None = None

    def __call__(self, done: int, _total: int) -> None:
        if self.at is None and done >= 10:
            self.at = done
            os.kill(self._pid, signal.SIGKILL)


def test_a_server_killed_in_mid_run_changes_no_bit(sample: Path, reference: Path, tmp_path: Path) -> None:
    with ServeProcess([MODELS]) as doomed:
        killer = _Killer(doomed)
        options = {"servers": [doomed.grpc_url], "progress": killer, "chunk_size": 2, "streams": 2}
        report = _run(sample, tmp_path / "out.root", **options)
    assert killer.at is not None
    assert killer.at < report.events
    assert differences(reference, tmp_path / "out.root") == []


def test_a_server_killed_in_mid_run_without_fallback_leaves_nothing(sample: Path, tmp_path: Path) -> None:
    with ServeProcess([MODELS]) as doomed:
        options = {"servers": [doomed.grpc_url], "fallback": False, "progress": _Killer(doomed)}
        with pytest.raises(ModuleError, match=r"module (tagger|deepmet) failed on chunk \d+, .*root entries \d+:\d+"):
            _run(sample, tmp_path / "out.root", **options, chunk_size=2, streams=2)
    assert list(tmp_path.iterdir()) == []


def test_the_networks_say_something_about_generated_events(tmp_path: Path) -> None:
    """Trained weights ship: on events with truth the tagger ranks b jets high, and MET beats the plain sum."""
    report = _run(GENERATED, tmp_path / "out.root", mode="direct", repeat=1)
    tagger, met = report.summaries["tagger_performance"], report.summaries["met_performance"]
    assert float(tagger["AUC b against light, ParticleNet"]) > 0.8
    assert float(met["MET residual (GeV), DeepMET"]) < float(met["MET residual (GeV), plain sum"])
