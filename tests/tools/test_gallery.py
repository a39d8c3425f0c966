from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gallery
from gallery.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

OTHERS = {"status-page", "timeline"}
"""A browser's picture, and what `make demo` draws."""
MEASURED = {f"scan-{name}" for name in ("breakdown", "emtrackmichel", "facile", "latency", "particlenet-ak4")}
"""What `make study` draws of its measurements."""
ROOT = Path(__file__).resolve().parents[2]


def named() -> set[str]:
    try:
        return {name for room in gallery.rooms() for name in gallery.pictures(room)}
    except ImportError as error:
        pytest.skip(f"a room needs {error.name}")


def test_each_picture_is_drawn_by_a_room_and_shown_on_a_page():
    pytest.importorskip("matplotlib")
    there = {file.stem for file in gallery.IMAGES.glob("*.png")}
    assert there == named() | OTHERS | MEASURED
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
    assert there == set(re.findall(r"images/([\w-]+)\.png", pages))


def test_no_picture_keeps_a_page_waiting():
    assert {file.name: size for file in gallery.IMAGES.glob("*.png") if (size := file.stat().st_size) > 150_000} == {}


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Callable[[], Figure]]]:
    """Two rooms, of three small pictures and of one that needs what is not there."""
    plots = pytest.importorskip("sonic.workloads.plots")
    pytest.importorskip("matplotlib")

    def drawn() -> Figure:
        figure = plots.panels(1, 1)
        figure.axes[0].plot([0, 1], [0, 1])
        return figure

    def missing() -> Figure:
        raise ImportError("no pythia8mc")

    found = {"hcal": {"hcal-a": drawn, "hcal-b": drawn}, "hlt": {"hlt-a": missing}}
    monkeypatch.setattr(gallery, "rooms", lambda: tuple(found))
    monkeypatch.setattr(gallery, "pictures", found.__getitem__)
    return found


def draw(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gallery", *arguments])
    return main()


@pytest.mark.usefixtures("rooms")
def test_a_room_or_a_picture_is_drawn_the_same_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert draw(monkeypatch, "hcal-a", "--to", str(tmp_path)) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["hcal-a.png"]
    before = (tmp_path / "hcal-a.png").read_bytes()
    assert draw(monkeypatch, "hcal", "--to", str(tmp_path)) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["hcal-a.png", "hcal-b.png"]
    assert (tmp_path / "hcal-a.png").read_bytes() == before


@pytest.mark.usefixtures("rooms")
def test_what_cannot_be_drawn_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for asked, status in (([], 0), (["hlt"], 1)):
        assert draw(monkeypatch, *asked, "--to", str(tmp_path)) == status
        assert "hlt-a: left out: no pythia8mc" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        draw(monkeypatch, "hgcal", "--to", str(tmp_path))
    assert "no room and no picture hgcal: rooms are hcal, hlt" in capsys.readouterr().err
