"""What time goes to, and how it is spread: stacked parts, histograms, maps over two settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError
from sonic.study.histogram import quantile
from sonic.study.plots.style import COLOURS, legend, panels, span, styled
from sonic.study.records import digits, written
from sonic.study.series import PARTS, label, parts_s, value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.study.records import Latencies, Record

    FloatArray = NDArray[np.float64]

_BINS_A_DECADE = 24
_MOST_NAMED = 12
"""Places on an axis whose names, and numbers between them, do not run into each other."""


@styled
def histogram(latencies: Mapping[str, Latencies], *, title: str = "") -> Figure:
    """Draw how latencies are spread, each histogram over the number of its requests; half and 99 % are marked.

    Parameters
    ----------
    latencies : mapping of str to Latencies
        By what tells them apart; ten at most.
    title : str

    Raises
    ------
    ConfigError
        If matplotlib or mplhep are missing.
    DataError
        If there are none, or more than can be told apart.
    """
    if not 0 < len(latencies) <= len(COLOURS):
        raise DataError(f"1 to {len(COLOURS)} histograms of latencies can be drawn, given {len(latencies)}")
    figure, (axes,) = panels()
    for colour, (name, each) in zip(COLOURS, latencies.items(), strict=False):
        edges_ms, counts = _coarser(each)
        axes.stairs(counts / counts.sum(), edges_ms, color=colour, label=name, linewidth=1.5)
        for part, style in ((0.5, "-"), (0.99, "--")):
            at = 1e3 * quantile(each, part)
            axes.axvline(at, ymax=0.06, color=colour, linestyle=style, linewidth=1.5)
    span(axes.xaxis, [1e3 * each for one in latencies.values() for each in (one.least_s, one.most_s)], 2)
    axes.set_ylim(0, None)
    axes.set(xlabel="latency (ms); below: half, 99 % within", ylabel="part of the requests", title=title)
    legend(axes, below=len(latencies) > 1)
    return figure


@styled
def breakdown(records: Sequence[Record], x: str, *, title: str = "") -> Figure:
    """Draw what a mean request's time goes to: queue, input, inference, output, and all that the server does not count.

    Parameters
    ----------
    records : sequence of Record
        That differ in x alone.
    x : str
    title : str

    Raises
    ------
    DataError
        If no record says what its server counted.
    """
    found = {record.settings.get(x): parts for record in records if (parts := parts_s(record))}
    if not found:
        raise DataError("no record says what its server counted: there is nothing to break down")
    # Numbers in their order, words in that of the records.
    places = sorted(found, key=lambda at: (isinstance(at, str), 0 if isinstance(at, str) or at is None else at))
    figure, (axes,) = panels()
    bottom = np.zeros(len(places))
    for colour, part in zip(COLOURS, PARTS, strict=False):
        heights = np.array([1e3 * found[at][part] for at in places])
        axes.bar(range(len(places)), heights, 0.75, bottom, color=colour, label=part)
        bottom += heights
    _name_places(axes.xaxis, [written(at) for at in places])
    axes.tick_params(axis="x", which="both", length=0)
    axes.set(xlabel=label(x), ylabel="mean time of a request (ms)", title=title)
    axes.set_ylim(0, 1.05 * bottom.max())
    legend(axes, below=True)
    return figure


@styled
def heat_map(records: Sequence[Record], x: str, y: str, z: str, *, title: str = "") -> Figure:
    """Draw a quantity over two settings, by colour, and by number where there is room.

    Parameters
    ----------
    records : sequence of Record
        One for a place at most.
    x, y : str
        Settings.
    z : str
        Of :func:`sonic.study.series.value`.
    title : str

    Raises
    ------
    DataError
        If two records share a place, or none has all three.
    """
    cells: dict[tuple[float, float], float] = {}
    for record in records:
        at, up, shade = (value(record, name) for name in (x, y, z))
        if at is None or up is None or shade is None:
            continue
        place = (at.value, up.value)
        if place in cells:
            raise DataError(f"two records at {x} = {at.value:g}, {y} = {up.value:g}: a map has room for one")
        cells[place] = shade.value
    if not cells:
        raise DataError(f"no record has {x}, {y} and {z}")
    columns, rows = (sorted({place[axis] for place in cells}) for axis in (0, 1))
    grid = np.array([[cells.get((column, row), np.nan) for column in columns] for row in rows])
    figure, (axes,) = panels()
    drawn = axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    legible = max(len(columns), len(rows)) <= _MOST_NAMED
    for i, j in zip(*np.nonzero(np.isfinite(grid) & legible), strict=True):
        colour = "white" if grid[i, j] < middle else "black"
        axes.text(j, i, digits(grid[i, j]), ha="center", va="center", color=colour, fontsize=8)
    _name_places(axes.xaxis, [f"{each:g}" for each in columns])
    _name_places(axes.yaxis, [f"{each:g}" for each in rows])
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    axes.set(xlabel=label(x), ylabel=label(y), title=title)
    figure.colorbar(drawn, ax=axes, label=label(z, records))
    return figure


def _coarser(latencies: Latencies) -> tuple[FloatArray, FloatArray]:
    """Edges in ms and counts, in bins wide enough to see a shape."""
    edges = np.asarray(latencies.edges_s)
    a_decade = 1 / max(np.log10(edges[1] / edges[0]), 1e-9) if len(edges) > 1 else 1.0
    together = max(1, round(a_decade / _BINS_A_DECADE))
    short = -len(latencies.counts) % together
    counts = np.pad(np.asarray(latencies.counts, float), (0, short)).reshape(-1, together).sum(axis=1)
    step = (edges[1] / edges[0]) ** together
    return 1e3 * edges[0] * step ** np.arange(len(counts) + 1), counts


def _name_places(axis: Axis, names: Sequence[str]) -> None:
    """Name places side by side, or of many every so many."""
    step = -(-len(names) // _MOST_NAMED)
    axis.set_ticks(range(0, len(names), step), names[::step])
