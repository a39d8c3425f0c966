"""Pictures of the electromagnetic calorimeter. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.ecal.geometry import CELL_ETA, LAYERS, PIXEL_PHI
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.resolution import Resolution

_FAINTEST_GEV = 0.03


def shower(image: NDArray[np.float32], title: str = "") -> Figure:
    """Draw the cells of one electron, a panel a layer.

    Parameters
    ----------
    image : float32 array [56, 11, 4]
        Of :func:`sonic.workloads.ecal.images.images`; GeV a pixel.
    title : str

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(len(LAYERS), 1, 2.8)
    from matplotlib.colors import LogNorm

    rows, columns = image.shape[:2]
    extent = (-rows / 16 * CELL_ETA, rows / 16 * CELL_ETA, -columns / 2 * PIXEL_PHI, columns / 2 * PIXEL_PHI)
    # Of whole cells, as a detector has them.
    cells = image.astype(np.float64) * [layer.pixels for layer in LAYERS]
    scale = LogNorm(_FAINTEST_GEV, max(float(cells.max()), 2 * _FAINTEST_GEV))
    for number, (axes, layer) in enumerate(zip(figure.axes, LAYERS, strict=True)):
        shown = axes.imshow(
            np.maximum(cells[..., number].T, 1e-3),
            norm=scale,
            extent=extent,
            origin="lower",
            aspect="auto",
            cmap="viridis",
            interpolation="nearest",
        )
        axes.set_title(f"{layer.name}: {image[..., number].sum():.2f} GeV", fontsize=9)
        axes.set_xlabel(r"$\Delta\eta$", fontsize=8)
        axes.set_xticks([-0.08, -0.04, 0, 0.04, 0.08])
        axes.tick_params(labelsize=7)
    bar = figure.colorbar(shown, ax=figure.axes, shrink=0.9, pad=0.01)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("GeV in a cell", fontsize=8)
    figure.axes[0].set_ylabel(r"$\Delta\phi$", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def resolution(curves: Mapping[str, Resolution]) -> Figure:
    """Draw bias and resolution by the true energy.

    Parameters
    ----------
    curves : mapping of str to Resolution
        By the way the energy is found.
    """
    figure = panels(2, 1, 4.0)
    for colour, (label, got) in zip(COLOURS, curves.items(), strict=False):
        errors = got.bias_error, got.width_error
        for axes, values, error in zip(figure.axes, (got.bias, got.width), errors, strict=True):
            axes.errorbar(
                got.energy_gev,
                100 * values,
                100 * error,
                fmt="o-",
                color=colour,
                label=label,
                markersize=4,
                linewidth=1.2,
            )
    for axes, name in zip(figure.axes, ("bias (%)", "resolution (%)"), strict=True):
        axes.set(xscale="log", xlabel="true energy (GeV)", ylabel=name)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.25)
    figure.axes[0].axhline(0.0, color="black", linewidth=0.8, linestyle=":")
    figure.axes[1].set_ylim(0, None)
    figure.axes[1].legend(frameon=False)
    return figure
