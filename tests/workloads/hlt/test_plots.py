from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sonic.workloads.hlt.jets import towers_of
from sonic.workloads.hlt.plots import DrawnJets, event_display, time_shares

if TYPE_CHECKING:
    from pathlib import Path

TOWERS = 3528


def test_an_event_is_drawn(tmp_path: Path) -> None:
    energy = np.zeros(TOWERS)
    energy[1000:1010] = 30.0
    made = towers_of(ak.Array({"Tower_energy": [energy]})[0])
    jets = DrawnJets(np.array([50.0, 30.0]), np.array([0.0, 2.0]), np.array([3.0, -1.0]), np.array([0.9, -1.0]))
    figure = event_display(made, jets, np.array([0.1, np.nan]), np.array([2.9, 0.0]), np.array([5.0, 1.0]))
    axes = figure.axes[0]
    towers, tracks = (len(points.get_offsets()) for points in axes.collections)
    assert (towers, tracks) == (10, 1)
    assert [text.get_text() for text in axes.texts] == ["50 GeV\nb 0.90", "30 GeV"]
    figure.savefig(tmp_path / "event.png", dpi=40)


def test_an_empty_event_is_drawn(tmp_path: Path) -> None:
    none = np.empty(0)
    made = towers_of(ak.Array({"Tower_energy": [np.zeros(TOWERS)]})[0])
    event_display(made, DrawnJets(none, none, none, none), none, none, none).savefig(tmp_path / "empty.png", dpi=40)


def test_bars_are_as_long_as_their_times(tmp_path: Path) -> None:
    times = {"fit": {"hcal": 80.0, "jets": 19.0, "met": 1.0}, "FACILE": {"hcal": 4.0, "jets": 20.0, "met": 1.0}}
    figure = time_shares(times)
    absolute, relative = figure.axes[:2]
    for axes, ends in ((absolute, (100.0, 25.0)), (relative, (100.0, 100.0))):
        for at, end in enumerate(ends):
            bars = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - at) < 0.1]
            assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(end)
    assert [text.get_text() for text in absolute.texts] == ["100 ms", "25 ms"]
    figure.savefig(tmp_path / "shares.png", dpi=40)
