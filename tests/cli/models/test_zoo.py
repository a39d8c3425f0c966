from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from sonic.cli import app

if TYPE_CHECKING:
    from pathlib import Path

cli = CliRunner()


def test_the_list_names_the_networks_and_how_good_they_are():
    done = cli.invoke(app, ["models", "list"], env={"COLUMNS": "160"})
    assert done.exit_code == 0
    assert "particlenet-ak4" in done.stdout
    assert "235,492" in done.stdout
    assert "AUC b vs light 0.9" in done.stdout
    assert "GeV (plain sum" in done.stdout


def test_building(tmp_path: Path):
    done = cli.invoke(app, ["models", "build", "deepmet", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(tmp_path / "deepmet")
    assert (tmp_path / "deepmet" / "1" / "model.onnx").is_file()
    done = cli.invoke(app, ["models", "build", "deepmet", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.strip() == f"sonic: {tmp_path / 'deepmet'} is there already"


def test_training_passes_on_what_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pytest.importorskip("torch")
    from sonic.workloads import zoo

    asked: list[Any] = []

    def train(name: str, folder: Path, recipe: Any, progress: Any) -> Path:
        asked.append((name, recipe))
        progress("events", 1, 2)
        progress("training", 1, 2)
        return folder / name

    monkeypatch.setattr(zoo, "train", train)
    options = ["--to", str(tmp_path), "--events", "500", "--seed", "9", "--width", "0.5", "--cores", "1"]
    done = cli.invoke(app, ["models", "train", "deepmet", *options])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "deepmet")
    ((name, recipe),) = asked
    default = zoo.defaults("deepmet")
    assert name == "deepmet"
    assert (recipe.events, recipe.seed, recipe.width, recipe.cores) == (500, 9, 0.5, 1)
    assert (recipe.epochs, recipe.batch) == (default.epochs, default.batch)


def test_unknown_networks(tmp_path: Path):
    for command in (["build", "x", str(tmp_path)], ["train", "x"]):
        done = cli.invoke(app, ["models", *command])
        assert done.exit_code == 1
        assert "no network 'x': there are particlenet-ak4, deepmet" in done.stderr
