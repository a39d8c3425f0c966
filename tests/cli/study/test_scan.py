from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from sonic.cli import app
from sonic.study import storage
from sonic.study.records import Estimate, Latencies, Machine, Record, Window

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.study.scan.deployment import Place
    from sonic.study.scan.spec import Point, Spec

RUN = CliRunner()
SPEC = """
target = "m"
server = "grpc://gpu01:8001"
[grid]
clients = [1, 2, 4]
rows = [1, 10]
"""
TENS = Latencies(count=10, mean_s=0.01, least_s=0.01, most_s=0.01, edges_s=(0.005, 0.01, 0.02), counts=(5, 5))


class Load:
    """In place of the load generator: each point has 100 requests a second, or what it is told."""

    def __init__(self) -> None:
        self.outcomes: dict[object, object] = {}
        self.rates: list[float] = []
        self.errors = 0
        self.terminates = 0

    def __call__(self, point: Point, spec: Spec, place: Place) -> Record:
        if point.settings["clients"] == self.terminates:
            os.kill(os.getpid(), signal.SIGTERM)
        outcome = self.outcomes.get(point.settings["clients"], "measured")
        if isinstance(outcome, list):  # one a measurement
            outcome = outcome.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return Record(
            target=point.target,
            settings=dict(point.settings),
            status="measured",
            started="2026-01-01T00:00:00Z",
            machine=Machine(system="", processor="", cores=2),
            versions={},
            reason=f"{self.errors} of 9 requests failed" if self.errors else "",
            throughput=Estimate(self.rates.pop(0) if self.rates else 100.0),
            row_rate=Estimate(1000.0),
            windows=(Window(duration_s=1.0, requests=6, errors=self.errors, rows=6),),
            latencies=TENS,
        )


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    made = Load()
    monkeypatch.setattr("sonic.study.scan.measuring.LoadMeasurement", lambda *_: made)
    (tmp_path / "mine.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return made


def test_a_scan_prints_a_table_and_writes_records(load: Load, tmp_path: Path) -> None:
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("1,000 ") == 6
    assert result.stdout.splitlines()[-1] == "mine.jsonl"
    assert "m clients=4 rows=10: 100.0/s p50 10 ms" in result.stderr
    assert len(storage.read(tmp_path / "mine.jsonl")) == 6


def test_the_table_of_jobs_has_no_latencies(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "p99" in RUN.invoke(app, ["study", "scan", "mine.toml"]).stdout
    monkeypatch.setitem(globals(), "TENS", None)
    untimed = RUN.invoke(app, ["study", "scan", "mine.toml", "--again", "all"])
    assert untimed.exit_code == 0, untimed.output
    assert "p99" not in untimed.stdout


def test_a_dry_run_measures_nothing(load: Load, tmp_path: Path) -> None:
    result = RUN.invoke(app, ["study", "scan", "mine.toml", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "m clients=1 rows=1 protocol=grpc"
    assert "6 of 6 points to be measured, 51 s if all are stable at once" in result.stdout
    assert not (tmp_path / "mine.jsonl").exists()


def test_rounds(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SPEC + "[measure]\nrounds = 2\n")
    dry = RUN.invoke(app, ["study", "scan", "mine.toml", "--dry-run"]).stdout
    assert dry.count("rows=1 ") == 3
    assert "6 of 6 points to be measured in 2 rounds: 12 of 12 measurements, 1 min 42 s if" in dry
    load.rates = [100.0] * 6 + [110.0] * 3
    load.outcomes[2] = ["measured"] * 3 + [KeyboardInterrupt()]
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert "9 of 12 measurements (2 rounds of 6 points) are in mine.jsonl; the same command goes on" in result.stderr
    assert "round 1 of 2, m clients=4 rows=10: 100.0/s p50 10 ms" in result.stderr
    assert "round 2 of 2, m clients=4 rows=10: 110.0/s p50 10 ms" in result.stderr
    dry = RUN.invoke(app, ["study", "scan", "mine.toml", "--dry-run"]).stdout
    assert "3 of 6 points to be measured in 2 rounds: 3 of 12 measurements" in dry
    load.outcomes.clear()
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-2].split()
    assert last[:4] == ["4", "10", "105.0", "63.5"]  # Student's, over two rounds
    assert [len(record.rounds) for record in storage.read(tmp_path / "mine.jsonl")] == [2] * 6
    assert RUN.invoke(app, ["study", "fit", "mine.jsonl", "--model", "amdahl"]).exit_code == 0


def test_requests_that_failed_are_said_and_end_with_1(load: Load) -> None:
    load.errors = 3
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert result.exit_code == 1, result.output
    assert result.stdout.count("3 of 9 requests failed") == 6


def test_a_point_that_failed_is_said_and_ends_with_1(load: Load) -> None:
    from sonic.errors import Unavailable

    load.outcomes[2] = Unavailable("shape [1,2] killed it")
    result = RUN.invoke(app, ["study", "scan", "mine.toml", "--to", "a.jsonl"])
    assert result.exit_code == 1, result.output
    assert result.stdout.count("failed: shape [1,2] killed it") == 2
    load.outcomes.clear()
    assert RUN.invoke(app, ["study", "scan", "mine.toml", "--to", "a.jsonl"]).exit_code == 1
    assert RUN.invoke(app, ["study", "scan", "mine.toml", "--to", "a.jsonl", "--again", "failed"]).exit_code == 0


def test_ctrl_c_says_how_far_it_is(load: Load) -> None:
    load.outcomes[2] = KeyboardInterrupt()
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert result.exit_code == 130
    assert "2 of 6 points are in mine.jsonl; the same command goes on" in result.stderr
    assert "4 of 6 points to be measured" in RUN.invoke(app, ["study", "scan", "mine.toml", "--dry-run"]).stdout


def test_what_is_measured_again_is_so_once_more_after_ctrl_c_and_that_is_said(load: Load) -> None:
    assert RUN.invoke(app, ["study", "scan", "mine.toml"]).exit_code == 0
    load.outcomes[2] = KeyboardInterrupt()
    command = ["study", "scan", "mine.toml", "--again", "all"]
    result = RUN.invoke(app, command)
    assert "the same command goes on, and measures again what it has measured to its end" in result.stderr
    assert "6 of 6 points to be measured" in RUN.invoke(app, [*command, "--dry-run"]).stdout


def test_sigterm_is_as_orderly_as_ctrl_c(load: Load, tmp_path: Path) -> None:
    came = signal.getsignal(signal.SIGTERM)
    load.terminates = 2
    result = RUN.invoke(app, ["study", "scan", "mine.toml"])
    assert result.exit_code == 143
    assert "2 of 6 points are in mine.jsonl; the same command goes on\nsonic: terminated\n" in result.stderr
    last = storage.read(tmp_path / "mine.jsonl")[-1]
    assert (last.status, last.reason) == ("interrupted", "by SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is came


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], "cannot read nosuch: No such file or directory"),
        (["mine.toml", "--again", "broken"], "--again is one of failed, unstable, measured, all, given broken"),
        (["mine.toml", "--to", "mine.toml"], "mine.toml, line 2 is not a record of a study"),
    ],
)
def test_a_wrong_command_line(load: Load, words: list[str], says: str) -> None:
    result = RUN.invoke(app, ["study", "scan", *words])
    assert result.exit_code != 0
    assert says in result.stderr
