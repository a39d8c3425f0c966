"""Lines: throughput with its saturation and its fits, latency, ratios, time a module."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError
from sonic.study.models.compare import MODELS
from sonic.study.plots.style import (
    COLOURS,
    MARKERS,
    STYLES,
    Look,
    from_zero,
    legend,
    looks,
    panels,
    settings_axis,
    span,
    styled,
)
from sonic.study.series import label, series, value
from sonic.study.tables import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.study.models.compare import Comparison
    from sonic.study.records import Record
    from sonic.study.saturation import Saturation
    from sonic.study.series import Series

    FloatArray = NDArray[np.float64]

_GREY = "0.35"
MOST_MARKED = 4


@styled
def lines(
    drawn: Sequence[Series],
    x: str,
    y: str,
    *,
    saturations: Sequence[Saturation | None] = (),
    beside: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    title: str = "",
) -> Figure:
    """Draw a quantity, series by series, with bars for the intervals.

    Parameters
    ----------
    drawn : sequence of Series
        As many as :func:`~sonic.study.plots.style.looks` tells apart.
    x, y : str
        What they are: names of :func:`sonic.study.series.label`.
    saturations : sequence of Saturation or None
        Of the series, in their order: marked by a line down, with a band for the interval; of four series at most,
        which can be told apart.
    beside : mapping of str to (x [n], y [n])
        Points of others, e.g. published ones.
    title : str

    Raises
    ------
    ConfigError
        If matplotlib or mplhep are missing.
    DataError
        If there are more series than can be told apart.
    """
    figure, (axes,) = panels()
    how = looks([each.label for each in drawn], f"series of {y}")
    for look, each in zip(how, drawn, strict=True):
        _points(axes, each, look, look.named(each.label) if len(drawn) > 1 else _kind(each))
    for i, found in enumerate(saturations):
        if found is not None and len(drawn) <= MOST_MARKED:
            _mark(axes, found, COLOURS[i], f"95 % of the plateau: {found} {x}" if len(drawn) == 1 else None)
    for marker, (name, (xs, ys)) in zip(MARKERS, (beside or {}).items(), strict=False):
        axes.plot(xs, ys, marker, color=_GREY, markerfacecolor="none", linestyle=":", linewidth=1, label=name)
    every_x = [*np.concatenate([each.x for each in drawn]), *(v for xs, _ in (beside or {}).values() for v in xs)]
    every_y = [*np.concatenate([each.y for each in drawn]), *(v for _, ys in (beside or {}).values() for v in ys)]
    settings_axis(axes, every_x)
    if min(every_y) > 0 and max(every_y) > 30 * min(every_y) and y.endswith(("_s", "_ms", "_us")):
        span(axes.yaxis, every_y)
    elif min(every_y) >= 0:
        from_zero(axes)
    axes.set(xlabel=label(x), ylabel=label(y, [record for each in drawn for record in each.records]), title=title)
    legend(axes, how)
    return figure


@styled
def over(
    points: Mapping[str, tuple[FloatArray, FloatArray]],
    curves: Mapping[str, tuple[FloatArray, FloatArray]],
    x: str,
    y: str,
    *,
    title: str = "",
) -> Figure:
    """Draw what a model or a simulation says over points, measured or published: what has the same name in one colour.

    Parameters
    ----------
    points, curves : mapping of str to (x [n], y [n])
        As many names as :func:`~sonic.study.plots.style.looks` tells apart.
    x, y : str
        As for :func:`sonic.study.series.label`.
    title : str

    Raises
    ------
    ConfigError
        If matplotlib or mplhep are missing.
    """
    figure, (axes,) = panels()
    names = list(dict.fromkeys([*points, *curves]))
    how = looks(names)
    for look, name in zip(how, names, strict=True):
        if name in points:
            axes.plot(*points[name], look.marker, color=look.colour, label=look.named(name))
        if name in curves:
            called = None if name in points else look.named(name)
            axes.plot(*curves[name], look.line, color=look.colour, label=called, zorder=1)
    values = [value for xs, _ in points.values() for value in xs]
    settings_axis(axes, values)
    from_zero(axes)
    axes.set(xlabel=label(x), ylabel=label(y), title=title)
    legend(axes, how)
    return figure


@styled
def fits(compared: Sequence[Comparison], y: str = "throughput") -> Figure:
    """Draw models through the points that they were fitted to, a panel for each series, best first.

    The saturation point is that of the points, marked by a line down and in the title.

    Parameters
    ----------
    compared : sequence of Comparison
    y : str
        As for :func:`sonic.study.series.label`.
    """
    columns = min(len(compared), 2)
    figure, axes_of = panels(columns, -(-len(compared) // columns))
    for axes, each in zip(axes_of, compared, strict=False):
        _points(axes, each.series, Look("black", "o", ""), _kind(each.series))
        fine = np.geomspace(each.series.x[0], each.series.x[-1], 200)
        for one in each.fits:
            i = MODELS.index(one.model.name)
            axes.plot(fine, one.predict(fine), STYLES[i % len(STYLES)], color=COLOURS[i], label=one.model.name)
        _mark(axes, each.measured, "0.5")
        settings_axis(axes, each.series.x.tolist())
        from_zero(axes)
        at = f"95 % at {each.measured} {each.x}" if each.measured.reached else "not saturated"
        only = [f"{one.model.name}: {bounds(one)}" for one in each.fits if not one.predicts]
        title = "\n".join([each.series.label, at, *only])  # a line each: panels stand side by side
        axes.set(xlabel=label(each.x), ylabel=label(y, each.series.records), title=title)
    for axes in axes_of[len(compared) :]:
        axes.set_visible(False)
    legend(axes_of[0])
    return figure


@styled
def latency(middle: Sequence[Series], tail: Sequence[Series], x: str, *, title: str = "") -> Figure:
    """Draw the latency that half of the requests keep below, and 99 % of them: solid and dashed.

    Parameters
    ----------
    middle, tail : sequence of Series
        The same series, of ``p50_ms`` and of ``p99_ms``.
    x : str
    title : str
    """
    how = looks([each.label for each in middle], "series of latencies")
    alone = len(middle) == 1
    if len(middle) > len(COLOURS):  # their lines tell series apart, so that two panels tell half from most
        figure, axes_of = panels(2)
        axes_of[1].sharey(axes_of[0])
        for axes, drawn, what in zip(axes_of, (middle, tail), ("half", "99 %"), strict=True):
            for look, each in zip(how, drawn, strict=True):
                _line(axes, each, look, look.named(each.label))
            axes.set(xlabel=label(x), ylabel=f"{what} of the requests within (ms)", title=title)
    else:
        figure, axes_of = panels()
        (axes,) = axes_of
        for look, half, most in zip(how, middle, tail, strict=True):
            _line(axes, half, look, "half within" if alone else half.label)
            _line(axes, most, replace(look, line="--"), "99 % within" if alone else None, face="white")
        axes.set(xlabel=label(x), ylabel="latency (ms)" + (" (dashed: 99 % within)" * (not alone)), title=title)
    for axes in axes_of:
        settings_axis(axes, np.concatenate([each.x for each in middle]).tolist())
        span(axes.yaxis, np.concatenate([each.y for each in (*middle, *tail)]).tolist())
    legend(axes_of[0], how)
    return figure


@styled
def ratios(pairs: Sequence[tuple[Series, Series]], x: str, what: str, *, title: str = "") -> Figure:
    """Draw series over others, at the x that both have: a GPU over a CPU, say.

    Parameters
    ----------
    pairs : sequence of (Series, Series)
        Each over the other; as many as :func:`~sonic.study.plots.style.looks` tells apart.
    x : str
    what : str
        What the ratio is called.
    title : str

    Raises
    ------
    DataError
        If no pair shares an x.
    """
    figure, (axes,) = panels()
    seen: list[float] = []
    how = looks([over_it.label for over_it, _ in pairs], "ratios")
    for look, (over_it, base) in zip(how, pairs, strict=True):
        common, mine, its = np.intersect1d(over_it.x, base.x, return_indices=True)
        ratio = over_it.y[mine] / base.y[its]
        # Both intervals, added in quadrature.
        relative = [(one.high - one.low)[at] / 2 / one.y[at] for one, at in ((over_it, mine), (base, its))]
        bars = np.nan_to_num(ratio * np.hypot(*relative))
        style = f"{look.marker}{look.line}"
        axes.errorbar(common, ratio, bars, fmt=style, color=look.colour, label=look.named(over_it.label), capsize=2)
        seen += common.tolist()
    if not seen:
        raise DataError(f"no two series have {x} in common")
    axes.axhline(1.0, color=_GREY, linewidth=1, linestyle=":")
    settings_axis(axes, seen)
    from_zero(axes)
    axes.set(xlabel=label(x), ylabel=what, title=title)
    if len(pairs) > 1:
        legend(axes, how)
    return figure


@styled
def modules(
    records: Sequence[Record],
    names: Sequence[str],
    x: str,
    *,
    beside: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    title: str = "",
) -> Figure:
    """Draw the time of modules, in seconds an event, against the number of jobs.

    Parameters
    ----------
    records : sequence of Record
        That differ in x alone.
    names : sequence of str
        Of the modules, among the records' details.
    x : str
    beside : mapping of str to (x [n], y [n])
        Points of others.
    title : str
    """
    figure, (axes,) = panels()
    drawn: list[tuple[FloatArray, FloatArray]] = []
    for look, name in zip(looks(names), names, strict=True):
        (each,) = series([record for record in records if value(record, name)], x, name, by=[])
        _line(axes, each, look, name.partition(".")[2] or name)
        drawn.append((each.x, each.y))
    for marker, (name, (xs, ys)) in zip(MARKERS, (beside or {}).items(), strict=False):
        axes.plot(xs, ys, f"{marker}:", color=_GREY, markerfacecolor="none", label=name)
        drawn.append((xs, ys))
    settings_axis(axes, np.concatenate([xs for xs, _ in drawn]).tolist())
    if not span(axes.yaxis, np.concatenate([ys for _, ys in drawn]).tolist()):
        from_zero(axes)
    axes.set(xlabel=label(x), ylabel="time of an event (s)", title=title)
    legend(axes)
    return figure


def _kind(each: Series) -> str:
    return "simulated" if any(record.settings.get("simulated") for record in each.records) else "measured"


def _points(axes: Axes, each: Series, look: Look, name: str | None) -> None:
    # What was measured once has no interval.
    bars = np.nan_to_num(np.stack([each.y - each.low, each.high - each.y]))
    style = f"{look.marker}{look.line}"
    axes.errorbar(each.x, each.y, bars, fmt=style, color=look.colour, label=name, capsize=2, elinewidth=1)


def _line(axes: Axes, each: Series, look: Look, name: str | None, face: str | None = None) -> None:
    style = f"{look.marker}{look.line}"
    axes.plot(each.x, each.y, style, color=look.colour, markerfacecolor=face, label=name)


def _mark(axes: Axes, found: Saturation, colour: str, name: str | None = None) -> None:
    if found.clients is None:
        return
    if found.low is not None and found.high is not None:
        axes.axvspan(found.low, found.high, color=colour, alpha=0.12, linewidth=0)
    axes.axvline(found.clients, color=colour, linestyle="--", linewidth=1, label=name)
