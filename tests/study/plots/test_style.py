"""Scales, legends, and what is said where nothing can be drawn."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mplhep")

from sonic.errors import ConfigError
from sonic.study.plots.style import legend, panels, settings_axis, span, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def nothing() -> Figure:
    return panels()[0]


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mplhep", None)
    with pytest.raises(ConfigError, match=r"needs matplotlib and mplhep: pip install 'sonic-hep\[plots\]'"):
        nothing()


def test_others_pictures_keep_their_style() -> None:
    import matplotlib as mpl

    before = mpl.rcParams["xtick.direction"], mpl.rcParams["font.size"]
    nothing()
    assert (mpl.rcParams["xtick.direction"], mpl.rcParams["font.size"]) == before


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        ([1, 2, 4, 8, 16], "log", ["1", "2", "4", "8", "16"]),
        ([1, 2, 3, 4, 6, 8, 12, 16], "log", ["1", "2", "4", "8", "16"]),
        ([20, 60, 100, 120, 148, 180], "linear", ["100", "180"]),
        ([1, 10, 100, 1000], "log", ["1", "10", "100", "1000"]),
        ([0, 1, 10, 50], "linear", ["0", "20", "40"]),
    ],
)
def test_settings_are_where_they_can_be_read(values: list[float], scale: str, ticks: list[str]) -> None:
    (axes,) = nothing().axes
    axes.plot(values, values)
    settings_axis(axes, values)
    axes.figure.canvas.draw()
    assert axes.get_xscale() == scale
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert set(ticks) <= set(shown)


def test_an_axis_is_logarithmic_only_where_it_must_be() -> None:
    (axes,) = nothing().axes
    assert not span(axes.yaxis, [1, 7])
    assert not span(axes.yaxis, [0, 100])
    assert axes.get_yscale() == "linear"
    assert span(axes.yaxis, [1, 8])
    assert axes.get_yscale() == "log"


def test_a_long_legend_stands_below_the_picture() -> None:
    for count, within in ((7, True), (8, False)):
        figure = nothing()
        (axes,) = figure.axes
        for n in range(count):
            axes.plot([0, 1], [0, n], label=f"series {n}")
        height = figure.get_figheight()
        legend(axes)
        assert (axes.get_legend() is not None) == within
        assert (figure.get_figheight() == height) == within
    legend(nothing().axes[0])  # of nothing: none
