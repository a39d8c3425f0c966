"""A picture of a run: what each stream did, and when it only waited. Needs the extra ``plots``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import AutoMinorLocator, MaxNLocator

from sonic.framework.drawing import clip
from sonic.framework.report import SINK, SOURCE, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from sonic.framework.report import Record

# The ten colours of M. Petroff (arXiv 2107.02270), told apart by everybody, with blue first.
_COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#92dadd",
    "#94a4a2",
    "#717581",
)
_ENDS = {SOURCE: "#2b2d33", SINK: "#8a8f99"}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["TeX Gyre Heros", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "axes.linewidth": 1.0,
    "axes.labelsize": 11,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "hatch.linewidth": 0.6,
}
_MAX_BARS = 700
_BINS = 300
_LONGEST = 40
"""Letters of a name in the legend: a longer one would leave no room for the rows."""


def timeline(
    records: Sequence[Record], *, title: str = "", subtitle: str = "", window_s: tuple[float, float] | None = None
) -> Figure:
    """Draw streams as rows and modules as colours, with what threads and requests did below.

    In each row, work lies above and waits for a server lie below, hatched, in the colour of the module that waits. The
    sink, which writes the chunks of all streams in their order, has a row of its own.

    Parameters
    ----------
    records : sequence of Record
    title, subtitle : str
        Above the picture, left and right.
    window_s : tuple of float, optional
        Part of the run to show, in seconds since it began. Otherwise all of a short one, or a part from the middle.

    Returns
    -------
    matplotlib.figure.Figure
    """
    begin_ns, end_ns = _window(records) if window_s is None else (round(window_s[0] * 1e9), round(window_s[1] * 1e9))
    shown = [record for record in records if record.stop_ns > begin_ns and record.start_ns < end_ns]
    streams = max((record.stream for record in shown), default=0) + 1
    palette = _palette(records)
    colours = {name: palette[name] for name in palette if any(record.module == name for record in shown)}
    unit, per_ns = ("s", 1e-9) if end_ns - begin_ns > 2e9 else ("ms", 1e-6)
    with mpl.rc_context(_STYLE):
        height = max(min(9.0, 2.6 + 0.42 * streams), 0.27 * len(colours) + 0.8)
        figure = Figure(figsize=(11, height), layout="constrained", dpi=160)
        rows, load = figure.subplots(2, 1, sharex=True, height_ratios=[height - 2.1, 1.1])
        _draw_streams(rows, shown, streams, colours, per_ns)
        _draw_load(load, shown, np.linspace(begin_ns, end_ns, _BINS + 1), per_ns)
        load.set_xlim(begin_ns * per_ns, end_ns * per_ns)
        load.set_xlabel(f"time since the job began [{unit}]", loc="right")
        rows.set_title(title, loc="left", fontsize=13, fontweight="bold")
        rows.set_title(subtitle, loc="right", fontsize=11)
        _legend(figure, shown, colours)
        figure.align_ylabels([rows, load])
    return figure


def formats() -> tuple[str, ...]:
    """Return the endings of files that a picture can be saved to, e.g. ``.png``."""
    return tuple(sorted(f".{ending}" for ending in FigureCanvasBase.get_supported_filetypes()))


def _window(records: Sequence[Record]) -> tuple[int, int]:
    """All of a short run; of a long one, a part from its middle with as many bars as can be told apart."""
    if not records:
        return 0, 1
    if len(records) <= _MAX_BARS:
        return 0, max(record.stop_ns for record in records)
    starts = sorted(record.start_ns for record in records)
    first = (len(starts) - _MAX_BARS) // 2
    return starts[first], starts[first + _MAX_BARS - 1]


def _palette(records: Sequence[Record]) -> dict[str, str]:
    """Colours by module: those that wait for a server come first."""
    waiting = {record.module for record in records if record.phase is Phase.WAIT}
    modules = dict.fromkeys(record.module for record in records if record.module not in _ENDS)
    ordered = sorted(modules, key=lambda name: name not in waiting)
    colours = (*_COLOURS, *(to_hex(_light(colour, 0.5)) for colour in _COLOURS))
    return _ENDS | {name: colours[i % len(colours)] for i, name in enumerate(ordered)}


def _draw_streams(axes: Axes, shown: Sequence[Record], streams: int, colours: dict[str, str], per_ns: float) -> None:
    waiting = [name for name in colours if any(r.module == name and r.phase is Phase.WAIT for r in shown)]
    lane = 0.36 / max(1, len(waiting))
    bars: dict[tuple[str, bool, int], list[tuple[float, float]]] = defaultdict(list)
    for record in shown:
        bar = (record.start_ns * per_ns, (record.stop_ns - record.start_ns) * per_ns)
        bars[record.module, record.phase is Phase.WAIT, record.stream].append(bar)
    for (module, waits, stream), spans in bars.items():
        colour = colours[module]
        if stream < 0:
            axes.broken_barh(spans, (streams + 0.15, 0.3), color=colour, linewidth=0.2)
        elif waits:
            bottom = stream + 0.56 + lane * waiting.index(module)
            axes.broken_barh(
                spans, (bottom, lane * 0.9), facecolor=_light(colour), edgecolor=colour, hatch="//////", linewidth=0.3
            )
        else:
            axes.broken_barh(spans, (stream + 0.08, 0.44), color=colour, linewidth=0.2)
    axes.set_ylim(streams + 0.6, 0)
    labelled = range(0, streams, 1 + streams // 25)
    axes.set_yticks(
        [*(stream + 0.5 for stream in labelled), streams + 0.3], [*(str(stream) for stream in labelled), "sink"]
    )
    axes.tick_params(axis="y", length=0)
    for stream in range(1, streams + 1):
        axes.axhline(stream, color="0.85", linewidth=0.6, zorder=0)
    axes.set_ylabel("stream", loc="top")


def _draw_load(axes: Axes, shown: Sequence[Record], edges: np.ndarray, per_ns: float) -> None:
    work = [record for record in shown if record.phase is not Phase.WAIT]
    waits = [record for record in shown if record.phase is Phase.WAIT]
    at = (edges[:-1] + edges[1:]) / 2 * per_ns
    threads = len({record.worker for record in work})
    axes.fill_between(at, _mean_count(work, edges), step="mid", color="0.72", linewidth=0)
    axes.set_ylim(0, max(1, threads) * 1.15)
    axes.set_ylabel("threads\nbusy")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_minor_locator(AutoMinorLocator())
    axes.tick_params(axis="x", which="minor", top=True)
    if waits:
        axes.tick_params(axis="y", right=False)
        other = axes.twinx()
        out = _mean_count(waits, edges)
        other.step(at, out, where="mid", color=_COLOURS[2], linewidth=1.2)
        other.set_ylim(0, max(1.0, out.max()) * 1.15)
        other.set_ylabel("requests\nout", color=_COLOURS[2])
        other.tick_params(axis="y", colors=_COLOURS[2])
        other.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _mean_count(records: Sequence[Record], edges: np.ndarray) -> np.ndarray:
    """Mean number of records that are going on, in each bin of time."""
    integral = np.zeros(len(edges))
    for record in records:
        integral += np.clip(edges, record.start_ns, record.stop_ns) - record.start_ns
    return np.diff(integral) / np.diff(edges)


def _legend(figure: Figure, shown: Sequence[Record], colours: dict[str, str]) -> None:
    names = sorted(colours, key=lambda name: name in _ENDS)
    handles = [Patch(facecolor=colours[name], label=clip(name.strip("()"), _LONGEST)) for name in names]
    if any(record.phase is Phase.WAIT for record in shown):
        handles.append(
            Patch(facecolor="white", edgecolor="0.4", hatch="//////", linewidth=0.5, label="waits for server")
        )
    figure.legend(handles=handles, loc="outside right upper", frameon=False, handlelength=1.2, fontsize=10)


def _light(colour: str, strength: float = 0.22) -> tuple[float, float, float]:
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(colour))
    return red, green, blue
