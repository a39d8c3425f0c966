from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import uproot
from typer.testing import CliRunner

from sonic.cli import app
from sonic.cli._signals import TERMINATED
from sonic.cli.generate import _known
from sonic.files import replacing
from sonic.workloads import generators

if TYPE_CHECKING:
    from pathlib import Path

cli = CliRunner()


def test_events_as_a_file(tmp_path: Path):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    file = tmp_path / "events.root"
    done = cli.invoke(app, ["generate", "miniaod", str(file), "--events", "3", "--with", "process=qcd_80"])
    assert done.exit_code == 0, done.output
    assert f"{file}: 3 events" in done.stdout
    assert "3/3" in done.stderr
    with uproot.open(file) as opened:
        assert opened["Events"].num_entries == 3


def test_a_batch_system_that_ends_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def halfway(file: Path, _events: int, _seed: int, _progress: object = None) -> int:
        with replacing(file) as part:
            part.touch()
            signal.raise_signal(signal.SIGTERM)
        return 1

    monkeypatch.setattr(generators, "find", lambda _: halfway)
    done = cli.invoke(app, ["generate", "any", str(tmp_path / "events.root")])
    assert done.exit_code == TERMINATED
    assert list(tmp_path.iterdir()) == []


def test_without_a_name_it_lists_the_generators_and_their_options():
    done = cli.invoke(app, ["generate"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(generators.known())
    (miniaod,) = [line for line in lines if line.startswith("miniaod")]
    assert "Proton collisions by Pythia" in miniaod
    assert "process=tt" in miniaod


def test_names_of_generators_are_completed():
    assert _known("mini") == ["miniaod"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["miniaood", "x.root"], "no generator 'miniaood'; similar: miniaod; installed: "),
        (["miniaod", "x.root", "--with", "process=higgs"], "no process 'higgs'"),
        (["miniaod", "x.root", "--with", "proces=tt"], "no option 'proces'; similar: process: there are process=tt"),
        (["miniaod", "x.root", "--with", "tt"], "expected key=value, got 'tt'"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str):
    monkeypatch.chdir(tmp_path)
    done = cli.invoke(app, ["generate", *arguments])
    assert done.exit_code == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_must_be_named():
    done = cli.invoke(app, ["generate", "miniaod"])
    assert done.exit_code == 2
    assert "which file to write" in done.stderr
