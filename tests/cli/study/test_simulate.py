from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

pytest.importorskip("simpy")
pytest.importorskip("mplhep")

from sonic.cli import app
from sonic.study import storage
from sonic.study.records import Machine, Record
from sonic.study.simulation.run import simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sonic.study.records import Setting, Status
    from sonic.study.simulation.spec import Spec

RUN = CliRunner()
SPEC = """
target = "two jobs"
window_s = 5
warmup_s = 1
repeats = 1
models.m.service = {execution_s = 1e-4}
servers = [{}]
jobs.modules = [{name = "tagger", cpu_s = 0.1, model = "m"}, {name = "rest", cpu_s = 0.25}]
published = {study = "miniaod-ak4", curve = "AK4"}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


def test_a_scan_is_shown_beside_its_paper_written_and_drawn(spec: Path, tmp_path: Path) -> None:
    records, picture = tmp_path / "records.jsonl", tmp_path / "picture.png"
    options = ["--over", "jobs=60,100", "--to", str(records), "--plot", str(picture), "--seed", "3"]
    result = RUN.invoke(app, ["study", "simulate", str(spec), *options])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "events_per_s_per_job jobs=60 3.96 4 +1.0%" in said
    assert "events_per_s_per_job jobs=100 4.01 4 -0.2%" in said
    assert [record.settings["jobs"] for record in storage.read(records)] == [60, 100]
    assert re.search(r"\d steps of the simulation in \d+ s: [\d,]+ a second", said)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tables_are_whole_on_a_narrow_terminal(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--over", "jobs=1000"])
    assert result.exit_code == 0, result.output
    assert "1,000" in result.stdout
    assert "…" not in result.stdout


def test_a_rate_beyond_what_a_server_can_do_is_said(tmp_path: Path) -> None:
    spec = tmp_path / "open.toml"
    spec.write_text(
        'target = "m"\nwindow_s = 20\nwarmup_s = 1\nmodels.m = {service = {execution_s = 1e-2}, max_queue = 0}\n'
        "servers = [{}]\narrivals.rate = 50\n"
    )
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--over", "rate=50,150"])
    assert result.exit_code == 0, result.output
    assert "rate=50" not in result.output
    assert "rate=150 rows=1 simulated=true: unstable, latency grows by" in " ".join(result.output.split())


@pytest.mark.parametrize("words", [[], ["--to", "records.jsonl"]])
def test_after_ctrl_c_it_says_what_is_kept(spec: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    def interrupted(point: Spec, settings: dict[str, Setting], _: object) -> Record:
        if settings["jobs"] == 3:
            raise KeyboardInterrupt
        return simulate(point, settings)

    monkeypatch.chdir(spec.parent)
    monkeypatch.setattr("sonic.study.simulation.run.simulate", interrupted)
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--over", "jobs=2,3,4", *words])
    assert result.exit_code == 130
    said = [line for line in result.stderr.splitlines() if line.strip()]
    assert said == (["1 of 3 points are in records.jsonl"] if words else []) + ["sonic: interrupted"]


def test_measured_points_that_differ_in_more_than_clients_are_to_be_chosen_from(tmp_path: Path) -> None:
    def measured(clients: int, protocol: str, status: Status = "measured") -> Record:
        settings = {"clients": clients, "protocol": protocol}
        machine = Machine(system="", processor="", cores=2)
        return Record(target="m", settings=settings, status=status, started="", machine=machine, versions={})

    points = [measured(1, "grpc"), measured(2, "http"), measured(4, "grpc", "unstable")]
    storage.write(points, tmp_path / "points.jsonl")
    words = ["study", "simulate", "--measured", str(tmp_path / "points.jsonl")]
    result = RUN.invoke(app, words)
    assert "the points of m differ in protocol too: choose some by --where" in result.output
    assert "m clients=4 protocol=grpc: unstable" in " ".join(result.output.split())
    chosen = RUN.invoke(app, [*words, "--where", "protocol=grpc"])
    assert "lacks the server's statistics" in chosen.output or "none to calibrate with" in chosen.output


def test_what_is_simulated_is_kept_when_the_rest_is_interrupted(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_the_second(spec: Spec, settings: dict[str, Setting], tell: Callable[[float], object]) -> Record:
        if settings["jobs"] == 100:
            raise KeyboardInterrupt
        return simulate(spec, settings, tell)

    monkeypatch.setattr("sonic.study.simulation.run.simulate", until_the_second)
    records = tmp_path / "records.jsonl"
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--over", "jobs=60,100", "--to", str(records)])
    assert result.exit_code != 0
    assert [record.settings["jobs"] for record in storage.read(records)] == [60]


def test_what_cannot_be_drawn_over_a_paper_is_refused_before_it_is_simulated(spec: Path, tmp_path: Path) -> None:
    spec.write_text(SPEC.replace("published", "# published"))
    records = tmp_path / "records.jsonl"
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--to", str(records), "--plot", str(tmp_path / "x.png")])
    assert "two jobs: its spec names no published scan" in " ".join(result.output.split())
    assert not records.exists()


def test_a_scan_without_the_axes_of_its_paper_cannot_be_drawn(spec: Path, tmp_path: Path) -> None:
    spec.write_text(SPEC.replace("miniaod-ak4", "exatrkx").replace("AK4", "events"))
    result = RUN.invoke(app, ["study", "simulate", str(spec), "--plot", str(tmp_path / "x.png")])
    assert "two jobs: events is of events_per_s by gpus, which is not simulated" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a SPEC, or --measured FILE: one of the two"),
        (["nothing"], "no spec 'nothing'"),
        (["{spec}", "--over", "jobs"], "an axis is NAME=VALUE"),
        (["{spec}", "--over", "jobz=1"], "it has unknown field 'jobz'"),
        (["{spec}", "--plot", "x.gif"], "x.gif ends in none of .png"),
        (["{spec}", "protodune-1gpu", "--plot", "x.png"], "scans of 2 papers or quantities are drawn one by one"),
        (["--measured", "{spec}.not"], "cannot read"),
        (["{spec}", "--where", "rows=1"], "--where chooses among the records of --measured"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(spec: Path, arguments: list[str], said: str) -> None:
    result = RUN.invoke(app, ["study", "simulate", *(each.format(spec=spec) for each in arguments)])
    assert result.exit_code != 0
    assert said in str(result.exception or "") + " ".join(result.output.split())
