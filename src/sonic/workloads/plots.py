"""Pictures of the workloads. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#718096")


def compare_features(
    samples: Mapping[str, NDArray[np.float32]], masks: Mapping[str, NDArray[np.float32]], names: Sequence[str]
) -> Figure:
    """Draw each feature's distribution, sample against sample.

    Parameters
    ----------
    samples : mapping of str to float array [N, features, points]
        By the sample's name.
    masks : mapping of str to float array [N, 1, points]
        Which points are real.
    names : sequence of str
        Of the features.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    flat = {name: values.transpose(0, 2, 1)[masks[name][:, 0] > 0] for name, values in samples.items()}
    columns = 4
    figure = panels(columns, -(-len(names) // columns))
    for i, (axes, name) in enumerate(zip(figure.axes, names, strict=False)):
        bins = _bins(np.concatenate([values[:, i] for values in flat.values()]))
        for colour, (sample, values) in zip(COLOURS, flat.items(), strict=False):
            weights = np.full(len(values), 1.0 / max(len(values), 1))
            axes.hist(
                np.clip(values[:, i], bins[0], bins[-1]),
                bins.tolist(),
                weights=weights,
                histtype="step",
                color=colour,
                label=sample,
                linewidth=1.4,
            )
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_yscale("log")
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(names) :]:
        axes.set_visible(False)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


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


def _bins(values: NDArray[np.float32]) -> NDArray[np.float64]:
    different = np.unique(values)
    if len(different) <= 16:
        return np.append(different - 0.5, different[-1] + 0.5).astype(float)
    low, high = np.percentile(values, [0.2, 99.8])
    return np.linspace(low, max(high, low + 1e-3), 41)


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
