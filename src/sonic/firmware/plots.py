"""Pictures of firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.plots import panels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sonic.firmware.search import Curve


def cost_of_error(curve: Curve) -> Figure:
    """Draw the error against the cost: with one fraction for all layers, and by layer.

    Raises
    ------
    ConfigError
        If matplotlib is missing.
    """
    figure, axes = _one()
    axes.plot(*zip(*curve.uniform, strict=True), "o-", color="0.45", label="one fraction for all")
    axes.plot(*curve.best, "D", color="#bd1f01", label="by layer")
    axes.axhline(curve.bound, linestyle="--", color="#3f90da", linewidth=1, label="largest error allowed")
    for fraction, point in enumerate(curve.uniform, 1):
        axes.annotate(str(fraction), point, (4, 4), textcoords="offset points", fontsize=8, color="0.45")
    axes.set_yscale("log")
    axes.set_xlabel("bits of one factor times bits of the other, over all multiplications")
    axes.set_ylabel("error / size of the outputs (rms)")
    axes.legend(frameon=False)
    return figure


def distances(edges: Sequence[float], counts: Sequence[int], marks: Mapping[str, float], rows: str) -> Figure:
    """Draw how far outputs in fixed point are from float64's.

    Parameters
    ----------
    edges : sequence of float
        Of bins, in equal factors; the first bin has all that is below the first edge.
    counts : sequence of int
        As many.
    marks : mapping of str to float
        Distances to mark.
    rows : str
        Which.

    Raises
    ------
    ConfigError
        If matplotlib is missing.
    """
    figure, axes = _one()
    lowest = edges[0] ** 2 / edges[1]
    axes.stairs(np.asarray(counts), np.array([lowest, *edges]), fill=True, color="#3f90da", alpha=0.6)
    for style, (name, value) in zip(("-", "--", ":"), marks.items(), strict=False):
        if value >= lowest:
            axes.axvline(value, linestyle=style, color="#bd1f01", linewidth=1, label=f"{name}: {value:.3g}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("distance of an output from float64's (the first bin has all that is smaller)")
    axes.set_ylabel("outputs")
    axes.set_title(f"rows: {rows}", loc="right", fontsize=9)
    if axes.lines:
        axes.legend(frameon=False)
    return figure


def _one() -> tuple[Figure, Axes]:
    figure = panels(1, 1)
    figure.set_size_inches(6, 4)
    return figure, figure.axes[0]
