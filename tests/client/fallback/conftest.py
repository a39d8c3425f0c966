from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sonic.client.fallback.commands import ENGINES


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder, first on the PATH, of executables that stand in for container engines."""
    folder = tmp_path / "engines"
    folder.mkdir()
    text = (Path(__file__).parent / "engine.py").read_text()
    for engine in ENGINES:
        (folder / engine).write_text(f"#!{sys.executable}\n{text}")
        (folder / engine).chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def _no_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
