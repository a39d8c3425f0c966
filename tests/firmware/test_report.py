from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError, OutputError
from sonic.firmware.report import Comparison, Distance, Report, save, to_markdown, write
from sonic.firmware.resources import Resources
from sonic.firmware.search import Curve

if TYPE_CHECKING:
    from pathlib import Path

APART = np.array([0.0, 0.5, -1.0, 8.0])


def report(different: int = 0) -> Report:
    compared = (Comparison("da4ml", "random", 4, different, 0.25 * different),)
    taken = (Resources("da4ml, estimated", luts=1234.0, dsps=0.0, latency_cycles=7.0),)
    return Report("net", "da4ml", compared, Distance.of("given", APART), 0.25, ("yosys: none",), taken, {"a": "1"}, {})


@given(st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_every_number_is_in_the_histogram(apart: list[float]) -> None:
    distance = Distance.of("given", apart)
    assert sum(distance.counts) == len(apart)
    assert distance.median <= distance.high <= distance.largest == max(map(abs, apart), default=0.0)
    lines = distance.bars()
    assert sum(int(line.split()[2].replace(",", "")) for line in lines if distance.edges) == len(apart) * bool(
        distance.edges
    )


def test_bars_are_as_long_as_what_they_count() -> None:
    lines = Distance.of("given", [1.0] * 40 + [0.3] * 10).bars()
    assert lines[-1].split() == ["to", "1", "40", "█" * 40]
    assert lines[-2].split() == ["to", "0.5", "10", "█" * 10]
    assert Distance.of("given", [0.0, 0.0]).bars() == ["none: all 2 are the same"]


def test_markdown_says_all() -> None:
    text = to_markdown(report())
    for says in (
        "**yes**",
        "Without yosys: none.",
        "median 0.75, 95 % 6.95, largest 8.",
        "25.00% are outside",
        "| da4ml, estimated | 1,234 | - | 0 | - | 7 | - | - |",
        "| a | 1 | - |",
        "to 8",
    ):
        assert says in text
    assert "**no**" in to_markdown(report(1))


def test_pictures_are_beside_markdown(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = Curve(0.01, ((100, 0.5), (200, 0.1), (300, 0.01)), (150, 0.009))
    files = write(report(), tmp_path / "r.md", curve)
    assert [file.name for file in files] == ["r.md", "r-distance.png", "r-cost.png"]
    text = files[0].read_text()
    for picture in files[1:]:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"({picture.name})" in text
    figure = report().distance.picture()
    with pytest.raises(OutputError, match=r"x\.nothing could not be written"):
        save(figure, tmp_path / "x.nothing")


def test_no_distance_is_no_picture(tmp_path: Path) -> None:
    none = replace(report(), distance=Distance.of("given", [0.0, 0.0]))
    assert write(none, tmp_path / "r.md") == [tmp_path / "r.md"]
    with pytest.raises(ConfigError, match="no distance to draw: all 2 outputs"):
        none.distance.picture()


def test_without_matplotlib_there_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ConfigError("no matplotlib")

    monkeypatch.setattr("sonic.firmware.plots.panels", missing)
    assert write(report(), tmp_path / "r.md") == [tmp_path / "r.md"]
    assert "█" in (tmp_path / "r.md").read_text()


def test_json_has_all(tmp_path: Path) -> None:
    (file,) = write(report(1), tmp_path / "r.json")
    found = json.loads(file.read_text())
    assert found["exact"] is False
    assert found["resources"][0]["luts"] == 1234
    assert found["distance"]["largest"] == 8
    with pytest.raises(OutputError, match="cannot write"):
        write(report(), tmp_path / "no" / "r.json")
