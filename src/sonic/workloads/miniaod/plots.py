"""Pictures of what the job's networks are given. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.features import TAU_GRIDS
from sonic.workloads.features.tau_grids import momenta
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def tau_grids(inputs: Mapping[str, NDArray[np.float32]], tau: int) -> Figure:
    """Draw what DeepTau sees around a tau candidate: in each cell a marker for each kind, as large as its momentum.

    Parameters
    ----------
    inputs : mapping of str to array
        As of :func:`sonic.workloads.features.tau_inputs`.
    tau : int
        Which of its candidates.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(2, 1, 4.4)
    for axes, (grid, (side, size)) in zip(figure.axes, TAU_GRIDS.items(), strict=True):
        edge = side * size / 2
        centres = (np.arange(side) + 0.5) * size - edge
        for colour, (kind, shares) in zip(COLOURS, momenta(inputs, grid, tau).items(), strict=False):
            row, column = np.nonzero(shares)
            area = 12 + 400 * np.sqrt(np.minimum(shares[row, column], 1.0)) * min(size / 0.02, 1.0)
            axes.scatter(centres[row], centres[column], s=area, color=colour, alpha=0.6, linewidths=0, label=kind)
        lines = np.linspace(-edge, edge, side + 1)
        axes.hlines(lines, -edge, edge, color="0.9", linewidth=0.5, zorder=0)
        axes.vlines(lines, -edge, edge, color="0.9", linewidth=0.5, zorder=0)
        axes.set(
            xlabel=r"$\Delta\eta$", ylabel=r"$\Delta\phi$", aspect="equal", title=f"{side} x {side} cells of {size}"
        )
    handles, labels = figure.axes[1].get_legend_handles_labels()
    shown = figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    for handle in shown.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([40])
    return figure
