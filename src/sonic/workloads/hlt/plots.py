"""Pictures of the trigger path. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.hcal.geometry import ETA_EDGES
from sonic.workloads.plots import COLOURS, panels
from sonic.workloads.simulation.jets import RADIUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.hcal.towers import Towers

    Floats = NDArray[np.float64]

_LEAST_ET_GEV = 0.7
"""Towers with less are not drawn."""
_MODULE_COLOURS = (
    "#c05621",
    "#e6b89c",
    "#2b6cb0",
    "#8fb3d9",
    "#2f855a",
    "#93c7a3",
    "#6b46c1",
    "#b8a7e0",
    "#718096",
    "#cbd5e0",
)


class DrawnJets(NamedTuple):
    """Jets of an event; arrays [jets].

    Attributes
    ----------
    pt, eta, phi : float array
    score : float array
        Of a b jet; below 0 where it was not tagged.
    """

    pt: Floats
    eta: Floats
    phi: Floats
    score: Floats


def event_display(made: Towers, jets: DrawnJets, track_eta: Floats, track_phi: Floats, track_pt: Floats) -> Figure:
    """Draw an event in eta and phi: towers by their transverse energy, jets as circles, tracks as points.

    Parameters
    ----------
    made : Towers
        Of one event.
    jets : DrawnJets
        The score of those that were tagged is written beside them.
    track_eta, track_phi, track_pt : float array [tracks]
        A track that is not finite is not drawn.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(1, 1, 5.6)
    from matplotlib.patches import Circle  # there, as panels() has found out

    (axes,) = figure.axes
    shown = made.et_gev > _LEAST_ET_GEV
    order = np.argsort(made.et_gev[shown])
    et = made.et_gev[shown][order]
    area = 4 + 22 * np.sqrt(et / max(et.max(initial=0.0), 20.0)) ** 1.6 * 6
    points = axes.scatter(
        made.eta[shown][order], made.phi[shown][order], s=area, c=np.maximum(et, 0.5), cmap="YlOrBr", marker="s",
        norm="log", vmin=0.5, vmax=max(et.max(initial=0.0), 20.0), linewidths=0,
    )  # fmt: skip
    figure.colorbar(points, ax=axes, label=r"tower $E_T$ (GeV)", shrink=0.8, pad=0.02)
    known = np.isfinite(track_eta) & np.isfinite(track_phi) & np.isfinite(track_pt)
    axes.scatter(
        track_eta[known], track_phi[known], s=6 + 3 * np.sqrt(track_pt[known]), color=COLOURS[0], linewidths=0,
        zorder=3, label=f"{int(known.sum())} tracks",
    )  # fmt: skip
    for pt, eta, phi, score in zip(*jets, strict=True):
        tagged = score >= 0
        colour = COLOURS[2] if tagged else COLOURS[4]
        for turn in (-2 * np.pi, 0.0, 2 * np.pi):  # one at the edge is seen at both
            axes.add_patch(Circle((eta, phi + turn), RADIUS, fill=False, color=colour, linewidth=1.4, zorder=4))
        text = f"{pt:.0f} GeV" + (f"\nb {score:.2f}" if tagged else "")
        # Not onto the next jet, and not out of the picture.
        taken = (np.abs(jets.eta - eta) < 1.2) & (jets.phi > phi) & (jets.phi < phi + 1.8)
        below = phi > np.pi - 1.0 or (bool(taken.any()) and phi > 1.0 - np.pi)
        axes.annotate(
            text, (eta, phi + (-1 if below else 1) * (RADIUS + 0.05)), ha="center", va="top" if below else "bottom",
            fontsize=8, color=colour, zorder=5,
        )  # fmt: skip
    axes.set(xlabel=r"$\eta$", ylabel=r"$\phi$", xlim=(-ETA_EDGES[-1], ETA_EDGES[-1]), ylim=(-np.pi, np.pi))
    axes.set_title(f"{len(jets.pt)} jets, {len(et)} towers above {_LEAST_ET_GEV} GeV", fontsize=9)
    figure.legend(frameon=False, fontsize=8, loc="outside lower right")
    return figure


def time_shares(times: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw what the modules take of the path's time, a bar for each way to run it: in ms, and as parts.

    Parameters
    ----------
    times : mapping of str to mapping of str to float
        ms for an event by module, as of :func:`sonic.workloads.hlt.shares.path_ms`, by the way's name.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(1, 2, 2.4)
    figure.set_size_inches(8.6, 1.6 + 1.0 * len(times))
    largest = max((sum(row.values()) for row in times.values()), default=1.0)
    names = sorted(
        {name for row in times.values() for name in row}, key=lambda n: -max(r.get(n, 0) for r in times.values())
    )
    few = [name for name in names if any(row.get(name, 0) > 0.02 * sum(row.values()) for row in times.values())]
    for axes, parts in zip(figure.axes, (False, True), strict=True):
        for at, row in enumerate(times.values()):
            total = sum(row.values())
            scale = 100 / total if parts and total else 1.0
            left = 0.0
            rest = sum(value for name, value in row.items() if name not in few)
            for colour, (name, value) in zip(
                _MODULE_COLOURS, [*((name, row.get(name, 0.0)) for name in few), ("others", rest)], strict=False
            ):
                width = scale * value
                axes.barh(
                    at, width, left=left, color=colour, label=name if not at else None, height=0.7, edgecolor="white"
                )
                left += width
            if not parts:
                axes.text(left + 0.01 * largest, at, f"{total:.0f} ms", va="center", fontsize=8)
        axes.set_yticks(range(len(times)), list(times), fontsize=8)
        axes.invert_yaxis()
    absolute, relative = figure.axes
    absolute.set(xlabel="processor time of the job for an event (ms)", xlim=(0, 1.12 * largest))
    relative.set(xlabel="part of the path (%)", xlim=(0, 100))
    handles, labels = absolute.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure
