"""Pictures of the electromagnetic calorimeter. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.ecal.geometry import CELL_ETA, LAYERS
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.hcal.figures import Resolution


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
    from matplotlib.colors import LogNorm

    figure = panels(len(LAYERS), 1, 3.0)
    rows, columns = image.shape[:2]
    extent = (-rows / 16 * CELL_ETA, rows / 16 * CELL_ETA, -columns / 2 * CELL_ETA, columns / 2 * CELL_ETA)
    for axes, layer, pixels in zip(figure.axes, LAYERS, np.moveaxis(image, 2, 0), strict=False):
        cells = pixels.T.astype(np.float64) * layer.pixels  # of the whole cell: what a detector has
        shown = axes.imshow(
            np.maximum(cells, 1e-3),
            norm=LogNorm(2 * layer.noise_gev, max(cells.max(), 4 * layer.noise_gev)),
            extent=extent,
            origin="lower",
            aspect="auto",
            cmap="viridis",
            interpolation="nearest",
        )
        axes.set_title(f"{layer.name}: {pixels.sum():.2f} GeV", fontsize=9)
        axes.set_xlabel(r"$\Delta\eta$", fontsize=8)
        axes.tick_params(labelsize=7)
        bar = figure.colorbar(shown, ax=axes, shrink=0.9)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("GeV in a cell", fontsize=7)
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
    for number, (label, got) in enumerate(curves.items()):
        for axes, values in zip(figure.axes, (got.bias, got.width), strict=True):
            # Errors of a median and of a width of so many, as of normal distributions.
            error = got.width * np.sqrt([1.57, 0.75][values is got.width] / np.maximum(got.number, 1))
            axes.errorbar(
                got.energy_gev,
                100 * values,
                100 * error,
                fmt="o-",
                color=COLOURS[number],
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
