"""How the pictures of a study look: mplhep's style of CMS, at a size for pages and phones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import wraps
from math import frexp
from textwrap import fill
from typing import TYPE_CHECKING, Literal, ParamSpec

from sonic.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

P = ParamSpec("P")

COLOURS = ("#3f90da", "#e76300", "#832db6", "#94a4a2", "#bd1f01", "#b9ac70", "#a96b59", "#717581", "#92dadd", "#ffa90e")
"""Petroff's ten (arXiv:2107.02270), told apart by those who see fewer colours, too."""
MARKERS = "osD^v<>PXh"
Line = Literal["-", "--", "-.", ":", ""]
STYLES: tuple[Line, ...] = ("-", "--", "-.", ":")
MOST_SERIES = 24
"""In a picture; of more not even names help to find one."""
_MOST_WITHIN = 7
_FEW = 10
_ROOM = 0.05
_TITLE = 56
"""Letters of a line of a title: more are wider than the axes."""
_SMALL: dict[str, Any] = {
    "figure.figsize": (5.6, 4.2),
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "font.family": "sans-serif",
    "axes.linewidth": 1,
    "axes.titlesize": "medium",
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.fontsize": "small",
    "xtick.major.size": 6,
    "xtick.minor.size": 3,
    "ytick.major.size": 6,
    "ytick.minor.size": 3,
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn, and what its colour and its line say where each says a part of its label."""

    colour: str
    marker: str
    line: Line = "-"
    says: tuple[str, str] | None = None

    def named(self, label: str) -> str | None:
        """Return what stands in the legend for this series alone."""
        return None if self.says else label


def looks(labels: Sequence[str], what: str = "series") -> list[Look]:
    """Return how series are drawn, such that they are told apart.

    Up to ten have a colour and a marker each. Of more, those that differ in one of the settings which their labels
    tell, and agree in the others, share a colour and have lines and markers of their own; where colours are then still
    too few, they go from dark to light in the order of the series.

    Parameters
    ----------
    labels : sequence of str
        Settings, with commas between, as of :class:`sonic.study.series.Series`.
    what : str
        They are, for messages.

    Raises
    ------
    DataError
        If there are more than :data:`MOST_SERIES`.
    """
    if len(labels) > MOST_SERIES:
        raise DataError(f"{len(labels)} {what} cannot be told apart, {MOST_SERIES} can: choose some of them")
    if len(labels) <= len(COLOURS):
        return [Look(colour, marker) for colour, marker, _ in zip(COLOURS, MARKERS, labels, strict=False)]
    said = [tuple(each.split(", ")) for each in labels]
    columns = list(zip(*said, strict=True)) if len(set(map(len, said))) == 1 else []
    # The last that has as few values as there are lines to choose from.
    by = next((i for i in reversed(range(len(columns))) if 1 < len(set(columns[i])) <= len(STYLES)), None)
    own = list(dict.fromkeys(columns[by])) if by is not None else []
    shared = [each if by is None else each[:by] + each[by + 1 :] for each in said]
    colours = dict(zip(dict.fromkeys(shared), _colours(len(set(shared))), strict=True))
    found = []
    for i, each in enumerate(said):
        turn = i if by is None else own.index(each[by])
        look = Look(colours[shared[i]], MARKERS[turn % len(MARKERS)])
        if by is not None:
            look = replace(look, line=STYLES[turn], says=(", ".join(shared[i]), each[by]))
        found.append(look)
    return found


def _colours(count: int) -> Sequence[str]:
    """Return so many: those that are told apart best, or a scale from dark to light."""
    if count <= len(COLOURS):
        return COLOURS[:count]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.93 * i / (count - 1))) for i in range(count)]


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Have a function draw in this style.

    The function raises ConfigError if matplotlib or mplhep are missing.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        try:
            import matplotlib as mpl
            import mplhep
        except ImportError:
            raise ConfigError("drawing needs matplotlib and mplhep: pip install 'sonic-hep[plots]'") from None
        # Its fonts are left: they are resolved when the picture is written, where this no longer holds.
        left = ("font.", "mathtext.")
        style: dict[Any, Any] = {name: each for name, each in mplhep.style.CMS.items() if not name.startswith(left)}
        with mpl.rc_context(style | _SMALL):
            figure = draw(*args, **kwargs)
            for axes in figure.axes:
                axes.set_title("\n".join(fill(line, _TITLE) for line in axes.get_title().splitlines()))
            return figure

    return drawn


def panels(columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    width, height = rcParams["figure.figsize"]
    figure = Figure(figsize=(width * columns, height * rows))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def settings_axis(axes: Axes, values: Sequence[float]) -> None:
    """Scale the x axis for settings: by powers of 2 where they were mostly chosen so, else as :func:`span` has it."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    different = sorted(set(values))
    least, most = different[0], different[-1]
    if least > 0 and 8 * least <= most <= 2048 * least and sum(map(_power_of_2, different)) >= len(different) / 2:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(2, numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    elif not span(axes.xaxis, different, 30) and most - least < _FEW and all(each == int(each) for each in different):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no half of an instance
        axes.xaxis.set_minor_locator(NullLocator())


def span(axis: Axis, values: Sequence[float], factor: float = 8) -> bool:
    """Make an axis logarithmic, with plain numbers, if its values are positive and go over that factor at least."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    least, most = min(values), max(values)
    if least <= 0 or most < factor * least:
        return False
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    if most < 1e5 * least:
        axis.set_major_locator(LogLocator(10, (1, 2, 5) if most < 1000 * least else (1,)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    return True


def from_zero(axes: Axes) -> None:
    """Have the y axis begin at zero, with room above what is drawn, which may be all of one height."""
    axes.set_ylim(0, (1 + _ROOM) * axes.dataLim.ymax)


def legend(axes: Axes, drawn: Sequence[Look] = (), *, below: bool = False) -> None:
    """Tell what is what, once all is drawn: within the axes, or below the figure.

    Below is where it goes if that is wished, if it is long, if there are several panels, which share it, or if there
    is no place within where it hides nothing.

    Parameters
    ----------
    axes : Axes
    drawn : sequence of Look
        Whose colours and lines are told, each once.
    below : bool
    """
    from matplotlib.lines import Line2D

    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - axes of ours have one
    told = {
        name: handle for each in figure.axes for handle, name in zip(*each.get_legend_handles_labels(), strict=True)
    }
    colours = {look.says[0]: Line2D([], [], color=look.colour, linewidth=4) for look in drawn if look.says}
    styles = {
        look.says[1]: Line2D([], [], color="black", marker=look.marker, linestyle=look.line)
        for look in drawn
        if look.says
    }
    names = [*colours, *styles, *told]
    handles = [*colours.values(), *styles.values(), *told.values()]
    if not names:
        return
    if len(names) <= _MOST_WITHIN and len(figure.axes) == 1 and not below:
        within = axes.legend(handles, names, loc="best", frameon=True, framealpha=0.85, edgecolor="none")
        figure.draw_without_rendering()  # places it
        if not _hidden(axes, within.get_window_extent()):
            return
        within.remove()
    width, height = figure.get_size_inches()
    columns = max(1, int((width - 0.2) / (0.5 + 0.07 * max(map(len, names)))))
    figure.set_figheight(height + 0.1 + 0.2 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, columnspacing=1.0)


def _hidden(axes: Axes, box: Bbox) -> bool:
    """Return whether a box, in pixels, lies over lines, points or bars; bands are broad enough to be seen beside it."""
    from matplotlib.patches import PathPatch

    for line in axes.lines:
        path = line.get_transform().transform_path(line.get_path())
        if box.count_contains(path.vertices) or (line.get_linestyle() != "None" and path.intersects_bbox(box, False)):
            return True
    bars = [(each.get_transform(), path) for each in axes.collections for path in each.get_paths()]
    shapes = [(each.get_transform(), each.get_path()) for each in axes.patches if isinstance(each, PathPatch)]
    return any(how.transform_path(path).intersects_bbox(box, False) for how, path in (*bars, *shapes))


def _power_of_2(number: float) -> bool:
    return frexp(number)[0] == 0.5
