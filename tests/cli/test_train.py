from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from sonic.cli import app
from sonic.cli.train import _trainable
from sonic.workloads import zoo

if TYPE_CHECKING:
    from pathlib import Path

cli = CliRunner()


def test_training_passes_on_what_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pytest.importorskip("torch")
    asked: list[Any] = []

    def train(name: str, folder: Path, recipe: Any, progress: Any) -> Path:
        asked.append((name, recipe))
        progress("events", 1, 2)
        progress("training", 1, 2)
        return folder / name

    monkeypatch.setattr(zoo, "train", train)
    options = ["--to", str(tmp_path), "--events", "500", "--seed", "9", "--width", "0.5", "--cores", "1"]
    done = cli.invoke(app, ["train", "deepmet", *options])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "deepmet")
    ((name, recipe),) = asked
    default = zoo.defaults("deepmet")
    assert name == "deepmet"
    assert (recipe.events, recipe.seed, recipe.width, recipe.cores) == (500, 9, 0.5, 1)
    assert (recipe.epochs, recipe.batch) == (default.epochs, default.batch)
    cli.invoke(app, ["train", "facile-v5", "--to", str(tmp_path)])
    assert asked[1] == ("facile-v5", zoo.defaults("facile-v5"))


def test_without_a_name_it_lists_what_can_be_trained_and_how_long_that_took():
    done = cli.invoke(app, ["train"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert list(lines) == [network.name for network in zoo.trainable()]
    assert "46 min, 2 cores" in lines["particlenet-ak4"]
    assert "AUC b vs light 0.9" in lines["particlenet-ak4"]


def test_names_that_can_be_trained_are_completed():
    assert _trainable("deepm") == ["deepmet"]
    assert "jet-mlp-fixed" not in _trainable("")


def test_what_cannot_be_trained():
    done = cli.invoke(app, ["train", "x"])
    assert done.exit_code == 1
    assert "no network 'x': there are particlenet-ak4, deepmet" in done.stderr
    done = cli.invoke(app, ["train", "jet-mlp-fixed"])
    assert done.exit_code == 1
    assert done.stderr.startswith("sonic: jet-mlp-fixed: there is no training for it; there is for particlenet-ak4")
