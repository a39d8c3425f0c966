"""Pictures of top tagging. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.plots import COLOURS, panels
from sonic.workloads.toptag.images import HALF_SIDE, PIXELS, PT_UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_COLOURS = ("$p_T$ of charged particles", "$p_T$ of neutral particles", "charged particles")
_UNITS = ("mean part of the jet's $p_T$", "mean part of the jet's $p_T$", "mean number in a jet")
_SCALES = (PT_UNIT, PT_UNIT, 1.0)
_COARSE = 4  # pixels drawn as one: a single one is hard to see


def jet_images(kinds: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Draw the mean images of kinds of jets, a row a kind, a column a colour.

    Parameters
    ----------
    kinds : mapping of str to float32 array [jets, 224, 224, 3]
        Of :func:`sonic.workloads.toptag.images.images`.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(3, len(kinds), 2.8)
    from matplotlib.colors import LogNorm

    rows = [images.mean(axis=0) for images in kinds.values()]
    coarse = [
        mean.reshape(PIXELS // _COARSE, _COARSE, PIXELS // _COARSE, _COARSE, 3).sum(axis=(1, 3)) * _SCALES
        for mean in rows
    ]
    for row, (kind, mean) in enumerate(zip(kinds, coarse, strict=True)):
        for colour in range(3):
            axes = figure.axes[3 * row + colour]
            highest = max(float(each[..., colour].max()) for each in coarse)
            shown = axes.imshow(
                np.maximum(mean[..., colour], 1e-9),
                norm=LogNorm(max(highest, 1e-6) * 1e-3, max(highest, 1e-6)),
                extent=(-HALF_SIDE, HALF_SIDE, -HALF_SIDE, HALF_SIDE),
                origin="lower",
                cmap="magma",
                interpolation="nearest",
            )
            axes.tick_params(labelsize=7)
            if row == 0:
                axes.set_title(_COLOURS[colour], fontsize=9)
            if row == len(coarse) - 1:
                axes.set_xlabel("across the principal axis", fontsize=8)
                column = figure.axes[colour : 3 * len(coarse) : 3]
                bar = figure.colorbar(shown, ax=column, location="bottom", shrink=0.8)
                bar.set_label(_UNITS[colour], fontsize=8)
                bar.ax.tick_params(labelsize=7)
        figure.axes[3 * row].set_ylabel(kind)
    return figure


def scores(kinds: Mapping[str, NDArray[np.floating]]) -> Figure:
    """Draw the distributions of a score.

    Parameters
    ----------
    kinds : mapping of str to float array [jets]
        By what the jets are.
    """
    figure = panels(1, 1, 4.2)
    (axes,) = figure.axes
    edges = np.linspace(0, 1, 31).tolist()
    for colour, (kind, values) in zip(COLOURS, kinds.items(), strict=False):
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(
            values,
            edges,
            weights=weights,
            histtype="step",
            color=colour,
            linewidth=1.6,
            label=f"{kind} ({len(values)})",
        )
    axes.set(xlabel="score of a top quark", ylabel="share of jets", yscale="log")
    axes.legend(frameon=False)
    return figure
