from __future__ import annotations

from typing import TYPE_CHECKING

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


def test_unknown_networks(tmp_path: Path):
    done = cli.invoke(app, ["models", "build", "x", str(tmp_path)])
    assert done.exit_code == 1
    assert "no network 'x': there are particlenet-ak4, deepmet" in done.stderr
