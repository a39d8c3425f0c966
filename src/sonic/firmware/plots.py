"""Pictures of firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.workloads.plots import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sonic.firmware.search import Found


def cost_of_error(found: Found, bound: float) -> Figure:
    """Draw the error against the cost: with one fraction for all layers, and by layer.

    Raises
    ------
    ConfigError
        If matplotlib is missing.
    """
    figure = panels(1, 1)
    figure.set_size_inches(6, 4)
    (axes,) = figure.axes
    points = found.uniform
    axes.plot(
        [p.bit_products for p in points], [p.error for p in points], "o-", color="0.45", label="one fraction for all"
    )
    axes.plot([found.best.bit_products], [found.best.error], "D", color="#bd1f01", label="by layer")
    axes.axhline(bound, linestyle="--", color="#3f90da", linewidth=1, label="largest error allowed")
    for fraction, point in enumerate(points, 1):
        axes.annotate(
            str(fraction),
            (point.bit_products, point.error),
            (4, 4),
            textcoords="offset points",
            fontsize=8,
            color="0.45",
        )
    axes.set_yscale("log")
    axes.set_xlabel("bits of one factor times bits of the other, over all multiplications")
    axes.set_ylabel("error / size of the outputs (rms)")
    axes.legend(frameon=False)
    return figure
