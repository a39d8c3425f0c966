"""How the pictures of a study look: mplhep's style of CMS, at a size for pages and phones."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

COLOURS = ("#3f90da", "#e76300", "#832db6", "#94a4a2", "#bd1f01", "#b9ac70", "#a96b59", "#717581", "#92dadd", "#ffa90e")
"""Petroff's ten (arXiv:2107.02270), told apart by those who see fewer colours, too."""
MARKERS = "osD^v<>PXh"
MOST_SERIES = len(COLOURS)
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


def span(axes: Axes, values: Sequence[float], *, axis: str = "x", base: int = 2) -> None:
    """Make an axis logarithmic if its values are positive and go over a factor of 8 at least, with plain numbers.

    Along x, powers of 2 are marked by default, since that is how clients and rows are mostly chosen.
    """
    least, most = min(values), max(values)
    if least <= 0 or most < 8 * least:
        return
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    which = axes.xaxis if axis == "x" else axes.yaxis
    set_scale = axes.set_xscale if axis == "x" else axes.set_yscale
    if axis == "y" or most > 2048 * least:
        base = 10
    set_scale("log", base=base)
    if base == 2:
        which.set_major_locator(LogLocator(2, numticks=12))
        which.set_minor_locator(NullLocator())
        which.set_major_formatter(StrMethodFormatter("{x:g}"))
    elif most < 1000 * least:
        which.set_major_locator(LogLocator(10, (1, 2, 5)))
        which.set_major_formatter(StrMethodFormatter("{x:g}"))
        which.set_minor_formatter(NullFormatter())
