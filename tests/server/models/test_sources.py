from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sonic
from sonic.errors import ConfigError
from sonic.server.models.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@sonic.service(inputs={"x": "FP32[-1]"}, outputs={"y": "FP32[-1]"})
def double(x: np.ndarray) -> np.ndarray:
    return 2 * x


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
    return tmp_path / "models"


def test_models_of_folders_and_functions(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "b" / "1").mkdir(parents=True)
    sources = Sources([folder, double, str(tmp_path / "more")], ())
    found = sources.find()
    assert found == {"a": (folder / "a",), "b": (folder / "b", tmp_path / "more" / "b")}
    assert sources.names(found) == ["a", "b", "double"]
    assert sources.service("a") is None
    assert sources.service("double") is not None
    assert str(sources) == f"{folder} or {tmp_path / 'more'} or the functions given"
    (folder / "c" / "1").mkdir(parents=True)
    assert "c" in sources.find()


def test_only_some_are_served(folder: Path) -> None:
    sources = Sources([folder, double], ["double", "a"])
    sources.check()
    assert sources.names(sources.find()) == ["a", "double"]
    sources = Sources([folder], ["z"])
    with pytest.raises(ConfigError, match=f"^no model 'z' in {folder}: there is a, b$"):
        sources.check()
    assert sources.names(sources.find()) == []


def test_names_that_collide(folder: Path) -> None:
    (folder / "double" / "1").mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"^model 'double' is a function and in a repository: {folder / 'double'}$"):
        Sources([folder, double], ()).find()


def test_nothing_is_given() -> None:
    with pytest.raises(ConfigError, match="no model repository is given"):
        Sources([], ())
