from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uproot
from typer.testing import CliRunner

from sonic.cli import app

if TYPE_CHECKING:
    from pathlib import Path

cli = CliRunner()


def test_events_as_a_file(tmp_path: Path):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    file = tmp_path / "events.root"
    done = cli.invoke(app, ["generate", str(file), "--events", "3", "--process", "qcd_80"])
    assert done.exit_code == 0, done.output
    assert f"{file}: 3 events" in done.stdout
    with uproot.open(file) as opened:
        assert opened["Events"].num_entries == 3


def test_an_unknown_process(tmp_path: Path):
    done = cli.invoke(app, ["generate", str(tmp_path / "events.root"), "--process", "higgs"])
    assert done.exit_code == 1
    assert "no process 'higgs'" in done.stderr
    assert list(tmp_path.iterdir()) == []
