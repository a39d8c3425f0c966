from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from sonic.cli import app
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of two models: deepmet, and one of the identity backend."""
    shutil.copytree(MODELS / "deepmet", tmp_path / "deepmet")
    (tmp_path / "echo" / "1").mkdir(parents=True)
    (tmp_path / "echo" / "1" / "table").write_text("a")
    (tmp_path / "echo" / "config.pbtxt").write_text(
        """backend: "identity"
        input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
        output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
        instance_group { count: 1 }
        """
    )
    return tmp_path


@pytest.fixture
def sonic_models() -> Callable[..., Result]:
    """Run ``sonic models``; lines are as wide as they come."""
    runner = CliRunner()

    def run(*arguments: Any) -> Result:
        return runner.invoke(app, ["models", *map(str, arguments)], env={"COLUMNS": "400"})

    return run
