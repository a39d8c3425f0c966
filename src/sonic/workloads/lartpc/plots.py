"""Pictures of a liquid-argon chamber. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.lartpc.chamber import PLANES
from sonic.workloads.lartpc.particles import KINDS
from sonic.workloads.lartpc.patches import HALF
from sonic.workloads.lartpc.stored import SCORES
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Ints
    from sonic.workloads.lartpc.simulation import Hits, Pixels
    from sonic.workloads.lartpc.stored import ParticleScores

_LABELS = (*KINDS, "michel")
_SHADES = (COLOURS[0], COLOURS[1], "0.55", "#97266d")
_MARGIN = 15


def event_display(
    pixels: Pixels, hits: Hits, kinds: Mapping[str, tuple[Ints, NDArray[np.bool_]]], plane: int = 2
) -> Figure:
    """Draw an event in one plane: charge, and its hits coloured by what they are or are taken for.

    Parameters
    ----------
    pixels : Pixels
    hits : Hits
    kinds : mapping of str to (int array [hits], bool array [hits])
        By a panel's title: each hit's kind, -1 for those not to be drawn, and whether it is of a Michel electron.
    plane : int

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    columns = 2 if len(kinds) > 1 else 1 + len(kinds)
    figure = panels(columns, -(-(1 + len(kinds)) // columns), 4.4)
    first, *others = figure.axes
    lit = pixels.plane == plane
    charge = pixels.charge_ke[lit]
    order = np.argsort(charge, kind="stable")
    drawn = first.scatter(
        pixels.wire[lit][order],
        pixels.sample[lit][order],
        c=np.clip(charge[order], 1.0, None),
        s=1.2,
        marker="s",
        linewidths=0,
        norm="log",
        vmin=1.0,
        vmax=100.0,
        cmap="viridis_r",
    )
    figure.colorbar(drawn, ax=first, label="charge (1000 electrons)", shrink=0.8)
    first.set_title(f"charge, plane {PLANES[plane]}", fontsize=9)
    mine = hits.plane == plane
    for axes, (title, (kind, michel)) in zip(others, kinds.items(), strict=False):
        _draw_hits(axes, hits.wire[mine], hits.sample[mine], np.where(michel, len(KINDS), kind)[mine])
        axes.set_title(title, fontsize=9)
    ranges = [_range(values[mine]) for values in (hits.wire, hits.sample)]
    for axes in figure.axes[: 1 + len(kinds)]:
        axes.set(xlabel="wire", ylabel="sample (3 us)", xlim=ranges[0], ylim=ranges[1])
    for axes in figure.axes[1 + len(kinds) : columns * -(-(1 + len(kinds)) // columns)]:
        axes.set_visible(False)
    if others:
        others[0].legend(fontsize=7, markerscale=3, framealpha=0.9, loc="upper right")
    return figure


def patch_gallery(patches: NDArray[np.float32], titles: Sequence[str]) -> Figure:
    """Draw patches, the hit marked.

    Parameters
    ----------
    patches : float32 array [n, 48, 48, 1]
    titles : sequence of str
    """
    figure = panels(max(1, len(titles)), 1, 2.6)
    for axes, patch, title in zip(figure.axes, patches[..., 0], titles, strict=True):
        axes.imshow(np.sqrt(patch.T), origin="lower", cmap="viridis", vmin=0, vmax=np.sqrt(8.0))
        axes.plot(HALF, HALF, marker="o", markersize=9, markerfacecolor="none", markeredgecolor="white")
        axes.set(title=title, xticks=[], yticks=[], xlabel="48 wires", ylabel="48 samples")
    return figure


def score_histograms(total: Mapping[str, NDArray[np.int64]]) -> Figure:
    """Draw each score's distribution by what the hits truly are.

    Parameters
    ----------
    total : mapping
        As of :func:`sonic.workloads.lartpc.performance.sums`, added up.
    """
    figure = panels(2, 2, 3.0)
    rows: list[tuple[str, NDArray[np.int64], tuple[str, ...]]] = []
    rows += [(f"{name} score", total[name], KINDS) for name in ("track", "em")]
    rows += [("michel score", total["michel"], ("other", "michel")), ("straightness", total["straightness"], KINDS)]
    for axes, (label, counts, names) in zip(figure.axes, rows, strict=True):
        coarse = counts.reshape(len(counts), 50, -1).sum(axis=2)
        shades = _SHADES if len(names) == len(KINDS) else (COLOURS[4], _SHADES[-1])
        for shade, name, row in zip(shades, names, coarse, strict=False):
            axes.stairs(row / max(row.sum(), 1), np.linspace(0, 1, 51), color=shade, label=name, linewidth=1.4)
        axes.set(xlabel=label, ylabel="part of the hits", yscale="log")
        axes.legend(fontsize=7, frameon=False)
    return figure


def particle_scores(samples: Mapping[str, ParticleScores], bins: int = 20) -> Figure:
    """Draw scores averaged over particles, sample against sample.

    Parameters
    ----------
    samples : mapping of str to ParticleScores
        By the sample's name.
    bins : int
        From 0 to 1.
    """
    figure = panels(len(SCORES), 1, 3.2)
    for axes, name in zip(figure.axes, SCORES, strict=True):
        for shade, (label, scores) in zip(COLOURS, samples.items(), strict=False):
            values = np.clip(getattr(scores, name), 0, 1)
            counts, edges = np.histogram(values, bins, (0.0, 1.0))
            axes.stairs(
                counts / max(len(values), 1), edges, color=shade, linewidth=1.4, label=f"{label} ({len(values)})"
            )
        axes.set(xlabel=f"{name} score, mean of a particle's hits", ylabel="part of the particles", xlim=(0, 1))
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


def _draw_hits(axes: Axes, wire: Ints, sample: NDArray[np.float64], kind: Ints) -> None:
    for number, (label, shade) in enumerate(zip(_LABELS, _SHADES, strict=True)):
        of = kind == number
        axes.scatter(wire[of], sample[of], s=3 if label != "michel" else 8, color=shade, linewidths=0, label=label)


def _range(values: NDArray[np.generic]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    return float(values.min()) - _MARGIN, float(values.max()) + _MARGIN
