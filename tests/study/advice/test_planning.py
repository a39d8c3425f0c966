"""From files to a plan, by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from sonic.cli import app
from sonic.study import storage
from sonic.study.records import Estimate, Machine, Record

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.study.records import Status

OFFLOAD = {"model": "tagger", "rows": 40, "bytes_sent": 4000, "bytes_received": 400}
MODULES = [{"name": "reader", "cpu_s": 2.0, "offload": None}, {"name": "tag", "cpu_s": 3.0, "offload": OFFLOAD}]
REPORT = {"workflow": "w", "mode": "direct", "events": 10, "chunk_size": 5, "modules": MODULES}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "direct.json").write_text(json.dumps(REPORT))
    (tmp_path / "other.toml").write_text("[servers.T4]\nhour = 0.35\nrows_per_s = {facile = 1000, ak4 = 1}\n")
    (tmp_path / "site.toml").write_text("[servers.T4]\nhour = 0.35\nrows_per_s = {tagger = 1000}\n")
    return tmp_path


def advise(*arguments: str):
    return CliRunner().invoke(app, ["study", "advise", *arguments], env={"COLUMNS": "160"})


def test_a_plan(folder: Path) -> None:
    done = advise("direct.json", "--site", "site.toml", "--jobs", "100", "--threads", "2", "--json", "plan.json")
    assert done.exit_code == 0, done.output
    assert "offload it to T4" in done.output
    assert "+150.0 %" in done.output
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["gain"] == pytest.approx(1.5)
    # 200 threads at 0.2 s and 4 rows an event fill 4 servers, planned with 70 % of their capacity; one to spare.
    assert plan["fleets"][0]["servers"] == 6 + 1
    assert plan["advice"][0]["subject"] == "tagger"


def test_a_plan_on_a_narrow_terminal_has_its_figures_whole(folder: Path) -> None:
    words = ["study", "advise", "direct.json", "--site", "site.toml", "--jobs", "100000", "--threads", "2"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "60"})
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["tagger", "T4", "60.0%", "4", "3.33", "0.556"] in rows
    assert ["events/s", "400,000", "1,000,000", "+150.0", "%"] in rows
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout


def test_on_a_narrow_terminal_long_names_go_over_several_lines(folder: Path) -> None:
    name = "a-tagger-of-jets-with-a-long-name"
    report = json.dumps(REPORT).replace('"model": "tagger"', f'"model": "{name}"')
    (folder / "direct.json").write_text(report)
    (folder / "site.toml").write_text(f'[servers."a GPU"]\nhour = 0.35\nrows_per_s = {{{name} = 1000}}\n')
    words = ["study", "advise", "direct.json", "--site", "site.toml", "--jobs", "1000"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "60"})
    assert done.exit_code == 0, done.output
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout


def test_what_has_no_price_is_not_said_to_be_unmeasured(folder: Path) -> None:
    record = Record(
        target="tagger",
        settings={"clients": 1},
        status="measured",
        started="2026-01-01T00:00:00Z",
        machine=Machine(system="Linux", processor="P", cores=2),
        versions={},
        row_rate=Estimate(100.0),
        details={"batch": 8.0},
    )
    storage.write([record], folder / "scan.jsonl")
    (folder / "site.toml").write_text("[servers.T4]\nhour = 0.35\n")
    done = advise("direct.json", "--site", "site.toml", "--scan", "scan.jsonl")
    assert done.exit_code == 0, done.output
    assert "not measured" not in done.stdout
    assert "it was measured on servers without a price" in done.stdout


def test_records_that_were_not_measured_are_named(folder: Path) -> None:
    machine = Machine(system="", processor="P", cores=2)

    def record(status: Status, reason: str = "") -> Record:
        return Record(
            target="tagger",
            settings={"clients": len(status)},
            status=status,
            reason=reason,
            started="",
            machine=machine,
            versions={},
            row_rate=Estimate(1000.0),
        )

    storage.write([record("failed", "it died"), record("measured"), record("unstable")], folder / "some.jsonl")
    done = advise("direct.json", "--scan", "some.jsonl")
    assert done.exit_code == 0, done.output
    assert done.stderr == "left out: tagger clients=6: failed, it died\nleft out: tagger clients=8: unstable\n"
    storage.write([record("failed", "it died")], folder / "none.jsonl")
    done = advise("direct.json", "--scan", "none.jsonl")
    assert done.exit_code == 1
    assert done.stderr.startswith("left out: tagger clients=6: failed, it died\n")
    assert "none of 1 records was measured to its end: give scans" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.json", "--site", "site.toml"), "cannot read the report none.json"),
        (("site.toml", "--site", "site.toml"), "site.toml is no report"),
        (("half.json",), "half.json: no report of a job: it lacks 'mode'"),
        (("direct.json", "--site", "other.toml"), "no measurement of tagger, which w asks: there is ak4, facile"),
        (("direct.json",), "nothing says what a server can do"),
        (("direct.json", "--site", "site.toml", "--goal", "fame"), "goal 'fame': expected cost or throughput"),
        (("direct.json", "--scan", "none.jsonl"), "none.jsonl"),
    ],
)
def test_files_that_make_no_sense(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    (folder / "half.json").write_text("{}")
    done = advise(*arguments)
    assert done.exit_code == 1
    assert says in done.output
    assert done.output.count("\n") == 1
