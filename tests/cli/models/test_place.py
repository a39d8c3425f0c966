from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.cli.models._place import is_url, networks, places

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_is_a_url():
    assert all(is_url(place) for place in ("grpc://h:1", "https://h/m", "local:/a", "grpc+unix:/s", "http+unix:/s"))
    assert not any(is_url(place) for place in ("models", "/a/b", "./local"))


def test_names_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models", "more", ".hidden", "models/tagger"):
        (tmp_path / name).mkdir()
    (tmp_path / "mo.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert places("mo") == ["models/", "more/"]
    assert places("models/") == ["models/tagger/"]
    assert places(str(tmp_path / "mor")) == [f"{tmp_path}/more/"]
    assert places("deepme") == ["deepmet"]
    assert places("absent/x") == []
    assert "particlenet-ak4" in networks("part")
    assert all(name.startswith("part") for name in networks("part"))
