"""Pictures of the endcap calorimeter. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.plots import COLOURS, panels
from sonic.workloads.uncertainties import efficiency_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sonic.workloads.hgcal.detector import Endcap, Floats, Ints
    from sonic.workloads.hgcal.figures import Bins
    from sonic.workloads.hgcal.hits import Hits

_GREY = "0.75"
_CYCLE = [f"C{i}" for i in range(10) if i != 7]  # which is grey
_LARGEST = 60.0  # of a hit's dot, in points squared


def event_display(hits: Hits, labels: Mapping[str, Ints], endcap: Endcap = ENDCAP) -> Figure:
    """Draw the hits of an event along and across the beam, coloured by cluster.

    Parameters
    ----------
    hits : Hits
        Usable ones.
    labels : mapping of str to int array [hits]
        Number of each hit's cluster by who says so, -1 for none; a row of the picture each. Clusters have the colour of
        the one of the first row with which they share most energy.
    endcap : Endcap

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(2, len(labels), 3.6)
    u, v = hits.projected(endcap)
    z_cm = np.asarray(endcap.z_cm)[hits.layer]
    radius = np.hypot(hits.x_cm, hits.y_cm)
    weighted = hits.weighted(endcap)
    size = np.clip(2 + 10 * np.sqrt(weighted / 20), 2, _LARGEST)
    first = next(iter(labels.values()), np.empty(0, np.int64))
    for (name, label), along, across in zip(labels.items(), figure.axes[::2], figure.axes[1::2], strict=True):
        colours = _colours(label, first, weighted)
        front = np.argsort(label >= 0, kind="stable")  # what is in no cluster lies behind
        for axes, horizontal, vertical in ((along, z_cm, radius), (across, u, v)):
            axes.scatter(horizontal[front], vertical[front], s=size[front], c=colours[front], linewidths=0, alpha=0.75)
        along.set(xlabel="z (cm)", ylabel="distance from the beam (cm)")
        along.axvline(endcap.z_cm[endcap.electromagnetic - 1] + 1, color="0.6", linewidth=0.8, linestyle=":")
        across.set(xlabel="x at the front (cm)", ylabel="y at the front (cm)", aspect="equal")
        along.set_title(f"{name}: {int(label.max(initial=-1)) + 1} clusters", fontsize=9)
    _alike(figure.axes[::2])
    _alike(figure.axes[1::2])
    return figure


def efficiencies(curves: Mapping[str, tuple[Bins, Bins]]) -> Figure:
    """Draw efficiencies by true energy and by the distance to the next particle.

    Parameters
    ----------
    curves : mapping of str to (Bins by energy in GeV, Bins by distance in cm)
        By the clustering's name.
    """
    figure = panels(2, 1, 3.8)
    by_energy, by_distance = figure.axes
    for colour, (name, both) in zip(COLOURS, curves.items(), strict=False):
        for axes, bins in zip(figure.axes, both, strict=True):
            errors = efficiency_errors(bins.efficiency * bins.number, bins.number)
            _draw(axes, bins, bins.efficiency, errors, colour, name)
    by_energy.set(xlabel="true energy (GeV)", ylabel="efficiency")
    _logarithmic(by_energy, [both[0].edges for both in curves.values()])
    by_distance.set(xlabel="distance to the next particle (cm)", ylabel="efficiency")
    low = min((np.nanmin(bins.efficiency, initial=1.0) for both in curves.values() for bins in both), default=0.0)
    for axes in figure.axes:
        axes.set_ylim(max(0.0, low - 0.1), 1.02)
        axes.grid(alpha=0.25)
    by_distance.legend(frameon=False)
    return figure


def responses(curves: Mapping[str, tuple[Bins, Bins]]) -> Figure:
    """Draw response and resolution by true energy, of electromagnetic showers above and of hadronic ones below.

    Parameters
    ----------
    curves : mapping of str to (Bins of electromagnetic, Bins of hadronic showers)
        By the clustering's name.
    """
    figure = panels(2, 2, 3.0)
    for colour, (name, both) in zip(COLOURS, curves.items(), strict=False):
        for bins, (left, right) in zip(both, (figure.axes[:2], figure.axes[2:]), strict=True):
            _draw(left, bins, bins.response, bins.response_error, colour, name)
            _draw(right, bins, 100 * bins.resolution, 100 * bins.resolution_error, colour, name)
    for kind, (left, right) in zip(("electromagnetic", "hadronic"), (figure.axes[:2], figure.axes[2:]), strict=True):
        left.axhline(1, color="black", linewidth=0.8, linestyle=":")
        left.set(ylabel="found over true energy", title=kind)
        right.set(ylabel="resolution (%)", title=kind, ylim=(0, None))
        for axes in (left, right):
            axes.set(xlabel="true energy (GeV)")
            _logarithmic(axes, [bins.edges for both in curves.values() for bins in both])
            axes.grid(alpha=0.25)
    figure.axes[1].legend(frameon=False)
    return figure


def _draw(axes: Axes, bins: Bins, values: Floats, errors: Floats, colour: str, name: str) -> None:
    edges = np.asarray(bins.edges)
    centres = np.sqrt(edges[1:] * edges[:-1]) if edges[0] > 0 else 0.5 * (edges[1:] + edges[:-1])
    widths = np.stack([centres - edges[:-1], edges[1:] - centres])
    axes.errorbar(centres, values, errors, widths, fmt="o", color=colour, label=name, markersize=4, linewidth=1.2)


def _logarithmic(axes: Axes, edges: list[tuple[float, ...]]) -> None:
    """Give an axis a logarithmic scale with the edges of the bins as its marks."""
    marks = sorted({edge for each in edges for edge in each})
    axes.set_xscale("log")
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.set_xticks([], minor=True)


def _colours(label: Ints, reference: Ints, weighted: Floats) -> np.ndarray:
    """Choose colours of hits: a cluster has that of its like in the reference, and one of its own if it has none."""
    colours = np.full(len(label), _GREY, dtype=object)
    taken: set[int] = set()
    free = int(reference.max(initial=-1)) + 1
    clusters = [np.flatnonzero(label == number) for number in range(int(label.max(initial=-1)) + 1)]
    for members in sorted(clusters, key=lambda hits: -weighted[hits].sum()):
        known = members[reference[members] >= 0]
        shared = np.bincount(reference[known], weighted[known], minlength=1)
        number = int(shared.argmax()) if shared.any() else free
        if number in taken:
            number, free = free, free + 1
        taken.add(number)
        colours[members] = _CYCLE[number % len(_CYCLE)]
    return colours


def _alike(axes: list[Axes]) -> None:
    """Give pictures one scale, so that they can be compared by eye."""
    for each in axes[1:]:
        each.set_xlim(axes[0].get_xlim())
        each.set_ylim(axes[0].get_ylim())
