"""How the pictures of a study look: mplhep's style of CMS, at a size for pages and phones."""

from __future__ import annotations

from functools import wraps
from math import frexp
from typing import TYPE_CHECKING, ParamSpec

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

P = ParamSpec("P")

COLOURS = ("#3f90da", "#e76300", "#832db6", "#94a4a2", "#bd1f01", "#b9ac70", "#a96b59", "#717581", "#92dadd", "#ffa90e")
"""Petroff's ten (arXiv:2107.02270), told apart by those who see fewer colours, too."""
MARKERS = "osD^v<>PXh"
MOST_SERIES = len(COLOURS)
_MOST_WITHIN = 7
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
            return draw(*args, **kwargs)

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
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    different = sorted(set(values))
    least, most = different[0], different[-1]
    if least > 0 and 8 * least <= most <= 2048 * least and sum(map(_power_of_2, different)) >= len(different) / 2:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(2, numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        span(axes.xaxis, different, 30)


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


def legend(axes: Axes, *, below: bool = False) -> None:
    """Tell what is what: within the axes, or below them where that is wished or would hide too much."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    if len(names) <= _MOST_WITHIN and not below:
        axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - axes of ours have one
    width, height = figure.get_size_inches()
    columns = max(1, int((width - 0.2) / (0.5 + 0.07 * max(map(len, names)))))
    figure.set_figheight(height + 0.1 + 0.2 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, columnspacing=1.0)


def _power_of_2(number: float) -> bool:
    return frexp(number)[0] == 0.5
