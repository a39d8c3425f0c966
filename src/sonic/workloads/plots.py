"""Pictures of the workloads. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#718096")


def roc_curves(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], title: str) -> Figure:
    """Draw misidentification against efficiency, a curve for each label.

    Parameters
    ----------
    curves : mapping of str to (efficiency, misidentification)
        As from :func:`sonic.workloads.figures.roc`.
    title : str
    """
    figure = panels(1, 1, 5.2)
    axes = figure.axes[0]
    for colour, (label, (efficiency, mistag)) in zip(COLOURS, curves.items(), strict=False):
        # Where none passes there is nothing to draw: the sample is too small to tell.
        axes.plot(efficiency, np.where(mistag > 0, mistag, np.nan), color=colour, label=label, linewidth=1.6)
    axes.set(xlabel="efficiency", ylabel="misidentification", yscale="log", xlim=(0, 1), ylim=(1e-4, 1), title=title)
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)
    return figure


def met_resolution(
    bins_gev: NDArray[np.float64], curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> Figure:
    """Draw resolution and response of missing transverse momentum in bins of the true one.

    Parameters
    ----------
    bins_gev : float array [n + 1]
        Edges.
    curves : mapping of str to (resolution in GeV [n], response [n])
        By the estimator's name.
    """
    figure = panels(2, 1, 4.2)
    centres = 0.5 * (bins_gev[1:] + bins_gev[:-1])
    for colour, (label, both) in zip(COLOURS, curves.items(), strict=False):
        for axes, values in zip(figure.axes, both, strict=True):
            axes.plot(centres, values, "o-", color=colour, label=label, markersize=4)
    resolution, response = figure.axes
    resolution.set(xlabel="true missing pT (GeV)", ylabel="resolution of a component (GeV)", ylim=(0, None))
    response.set(xlabel="true missing pT (GeV)", ylabel="response along the true direction")
    response.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    resolution.legend(frameon=False)
    return figure


def panels(columns: int, rows: int, size: float = 2.6) -> Figure:
    """Return a figure with so many axes, each `size` inches high.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("drawing needs matplotlib: pip install 'sonic-hep[plots]'") from None
    figure = Figure(figsize=(size * columns * 1.15, size * rows), layout="constrained")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure
