"""Scales, legends, and what is said where nothing can be drawn."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mplhep")

from sonic.errors import ConfigError, DataError
from sonic.study.plots.style import COLOURS, MOST_SERIES, legend, looks, panels, settings_axis, span, styled

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


def test_a_few_whole_numbers_have_no_parts_between_them() -> None:
    (axes,) = nothing().axes
    axes.plot([1, 2], [3, 4])
    settings_axis(axes, [1, 2])
    assert all(tick == int(tick) for tick in axes.get_xticks())
    assert not len(axes.get_xticks(minor=True))


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


@pytest.mark.parametrize(
    ("heights", "fmt", "bar", "within"),
    [
        ([1, 2, 3, 4], "o-", 0, True),
        ([1, 9, 1, 9, 1, 9, 1, 9], "-", 0, False),
        ([1, 9, 1, 9, 1, 9, 1, 9], "o", 0, True),
        ([5, 5, 5, 5, 5, 5, 5, 5, 5], "o", 5, False),
    ],
)
def test_a_legend_hides_nothing(heights: list[float], fmt: str, bar: float, within: bool) -> None:
    figure = nothing()
    (axes,) = figure.axes
    axes.errorbar(range(len(heights)), heights, bar, fmt=fmt, label="one series whose name is long")
    legend(axes)
    assert (axes.get_legend() is not None) == within
    assert (len(figure.legends) == 1) != within


@pytest.mark.parametrize(
    "labels",
    [[f"batch {n}" for n in range(count)] for count in (0, 1, 10, 11, MOST_SERIES)]
    + [
        [f"{one}, {other}, {third}" for one in range(a) for other in range(b) for third in range(c)]
        for a, b, c in ((4, 4, 1), (2, 3, 4), (12, 1, 2), (4, 6, 1), (1, 5, 3), (24, 1, 1))
    ]
    + [["facile", *(f"batch {n}, delay {n} us" for n in range(15))]],
)
def test_no_two_series_look_alike(labels: list[str]) -> None:
    found = looks(labels)
    assert len({(look.colour, look.marker, look.line) for look in found}) == len(labels) == len(found)
    for label, look in zip(labels, found, strict=True):
        assert look.named(label) == label or set(", ".join(look.says or ()).split(", ")) == set(label.split(", "))


def test_few_series_have_a_colour_each() -> None:
    assert [look.colour for look in looks([f"{n}, {m}" for n in range(2) for m in range(5)])] == list(COLOURS)


def test_more_than_can_be_told_apart() -> None:
    with pytest.raises(DataError, match="25 ratios cannot be told apart, 24 can: choose some of them"):
        looks([str(n) for n in range(25)], "ratios")
