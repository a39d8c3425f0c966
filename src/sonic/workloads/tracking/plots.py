"""Pictures of tracking. Each takes arrays and returns a matplotlib Figure; extra ``plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.framework import Measured
from sonic.workloads.plots import COLOURS, panels
from sonic.workloads.tracking.comparison import rates
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.graphs import truth
from sonic.workloads.tracking.helix import NAMES, cross
from sonic.workloads.uncertainties import deviation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sonic.workloads.tracking.comparison import Compared
    from sonic.workloads.tracking.detector import Barrel, Floats
    from sonic.workloads.tracking.simulation import Event, Ints

_STEPS = 60
_MAX_PULL = 5.0
_LABELS = dict(zip(NAMES, ("$d_0$", "$z_0$", r"$\phi$", r"$\cot\theta$", "$q/p_T$"), strict=True))


def event_display(event: Event, hits: Ints, parameters: Floats, barrel: Barrel = BARREL) -> Figure:
    """Draw an event across and along the beam: hits, and the tracks through them.

    Parameters
    ----------
    event : Event
    hits : int array [tracks, layers]
        Numbers of the tracks' hits; -1: none.
    parameters : float array [tracks, 5]
        At the perigees; a track that is not finite is not drawn.
    barrel : Barrel

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(2, 1, 5.2)
    across, along = figure.axes
    radii_mm = np.asarray(barrel.radii_mm)
    radius = radii_mm[event.layer]
    x, y = radius * np.cos(event.phi), radius * np.sin(event.phi)
    used = np.zeros(len(event), bool)
    used[hits[hits >= 0]] = True
    _draw_layers(across, along, barrel)
    tracks = parameters[np.isfinite(parameters).all(axis=1)].T
    for number, (xs, ys, zs) in enumerate(_paths(tracks, barrel)):
        colour = f"C{number % 10}"
        across.plot(xs, ys, color=colour, linewidth=0.7, alpha=0.8)
        along.plot(zs, np.hypot(xs, ys), color=colour, linewidth=0.7, alpha=0.8)
    for which, colour, size, label in ((used, "black", 3, "on a track"), (~used, COLOURS[1], 7, "on none")):
        for axes, u, v in ((across, x, y), (along, event.z_mm, radius)):
            axes.scatter(u[which], v[which], s=size, color=colour, linewidths=0, zorder=3, label=f"hits {label}")
    across.set(xlabel="x (mm)", ylabel="y (mm)", aspect="equal")
    along.set(xlabel="z (mm)", ylabel="r (mm)", ylim=(0, None))
    title = f"{len(event)} hits, {tracks.shape[1]} tracks of {event.tracks.shape[1]} particles"
    across.set_title(title, fontsize=9)
    across.legend(fontsize=7, frameon=False, loc="upper right")
    return figure


def pulls(values: Floats) -> Figure:
    """Draw the pulls of the parameters, with the normal distribution that they should have.

    Parameters
    ----------
    values : float array [tracks, 5]
        Those beyond 5 are drawn at 5, and their number is said; those that are not finite are left out.
    """
    figure = panels(3, 2)
    edges = np.linspace(-_MAX_PULL, _MAX_PULL, 51)
    at = np.linspace(-_MAX_PULL, _MAX_PULL, 201)
    for axes, name, column in zip(figure.axes, NAMES, values.T, strict=False):
        column = column[np.isfinite(column)]
        axes.hist(np.clip(column, -_MAX_PULL, _MAX_PULL), edges.tolist(), color=COLOURS[0], alpha=0.35)
        expected = len(column) * (edges[1] - edges[0]) * np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi)
        axes.plot(at, expected, color="black", linewidth=1.0)
        width = deviation([np.sum(column**power) for power in range(5)])
        mean = Measured(column.mean(), width / np.sqrt(len(column)))
        beyond = f"{np.sum(np.abs(column) > _MAX_PULL)} of {len(column):,} beyond {_MAX_PULL:g}"
        axes.text(0.03, 0.97, f"width {width}\nmean {mean:+}\n{beyond}", transform=axes.transAxes, fontsize=7, va="top")
        axes.set_ylim(0, 1.35 * expected.max())
        axes.set_xlabel(f"pull of {_LABELS[name]}")
    figure.axes[0].set_ylabel("tracks")
    figure.axes[3].set_ylabel("tracks")
    figure.axes[5].set_visible(False)
    return figure


def efficiency(edges_gev: Floats, curves: Mapping[str, tuple[Floats, Floats]]) -> Figure:
    """Draw efficiencies by transverse momentum.

    Parameters
    ----------
    edges_gev : float array [bins + 1]
    curves : mapping of str to (efficiency [bins], errors [2, bins]), float arrays
        By the finder's name; errors down and up.
    """
    figure = panels(1, 1, 4.2)
    (axes,) = figure.axes
    centres = np.sqrt(edges_gev[1:] * edges_gev[:-1])
    widths = np.stack([centres - edges_gev[:-1], edges_gev[1:] - centres])
    for colour, (label, (values, errors)) in zip(COLOURS, curves.items(), strict=False):
        axes.errorbar(centres, values, errors, widths, fmt="o", color=colour, label=label, markersize=4, linewidth=1.2)
    axes.set(xscale="log", xlabel=r"true $p_T$ (GeV)", ylabel="efficiency")
    lowest = min((np.nanmin(values - errors[0]) for values, errors in curves.values()), default=0.0)
    axes.set_ylim(min(0.9, lowest - 0.02), 1.01)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False)
    return figure


def edges(event: Event, stages: Mapping[str, Ints], half_width: float, barrel: Barrel = BARREL) -> Figure:
    """Draw the edges in a wedge about the x axis, stage by stage, and which of them are true.

    Parameters
    ----------
    event : Event
    stages : mapping of str to int array [2, edges]
        By what is left in them.
    half_width : float
        Of the wedge, in rad.
    barrel : Barrel

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    figure = panels(len(stages), 1, 3.9)
    radius = np.asarray(barrel.radii_mm)[event.layer]
    inside = np.abs(event.phi) < half_width
    for axes, (name, joined) in zip(figure.axes, stages.items(), strict=True):
        kept = joined[:, inside[joined].all(axis=0)]
        true = truth(kept, event.particle)
        for colour, chosen, label in ((COLOURS[1], kept[:, ~true], "others"), (COLOURS[0], kept[:, true], "true")):
            lines = np.full((chosen.shape[1], 3, 2), np.nan)
            lines[:, :2, 0], lines[:, :2, 1] = event.phi[chosen].T, radius[chosen].T
            axes.plot(*lines.reshape(-1, 2).T, color=colour, linewidth=0.8, alpha=0.8, label=label)
        axes.scatter(event.phi[inside], radius[inside], s=3, color="black", linewidths=0, zorder=3)
        axes.set_title(f"{name}: {len(true)}, {100 * true.mean() if len(true) else 0:.0f} % true", fontsize=9)
        axes.set(xlabel=r"$\phi$ (rad)", ylabel="r (mm)", xlim=(-half_width, half_width))
        axes.set_ylim(0, 1.15 * barrel.radii_mm[-1])
        axes.locator_params(axis="x", nbins=5)
        axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
    return figure


def comparison(rows: Sequence[Compared]) -> Figure:
    """Draw time, efficiency and fakes of the network's way and of the combinatorial finder's against the hits.

    Parameters
    ----------
    rows : sequence of Compared
        A size of event each.
    """
    figure = panels(3, 1, 3.9)
    time, efficient, fake = figure.axes
    hits = [row.hits for row in rows]
    ours = ("graph building", "network", "tracks of scores")
    curves = {
        "combinatorial finder": [row.seconds["combinatorial finder"] for row in rows],
        "graph network, all of it": [sum(row.seconds[step] for step in ours) for row in rows],
        **{f"   {step}": [row.seconds[step] for row in rows] for step in ours},
    }
    styles = ("o-", "o-", "s:", "^:", "v:")
    colours = (COLOURS[0], COLOURS[1], *(COLOURS[1],) * 3)
    for style, colour, (label, seconds) in zip(styles, colours, curves.items(), strict=True):
        time.plot(hits, 1e3 * np.array(seconds), style, color=colour, label=label, markersize=4, linewidth=1.3)
    time.set(yscale="log", ylabel="time of an event (ms)")
    for colour, label, name in zip(
        COLOURS, ("combinatorial finder", "graph network"), ("finder", "network"), strict=False
    ):
        both = [rates(getattr(row, name)) for row in rows]
        for axes, values in zip((efficient, fake), zip(*both, strict=True), strict=True):
            errors = np.array([(each.down, each.up) for each in values]).T
            axes.errorbar(hits, values, errors, fmt="o-", color=colour, label=label, markersize=4, linewidth=1.2)
    efficient.set(ylabel="efficiency", ylim=(min(0.94, efficient.get_ylim()[0]), 1.005))
    fake.set(ylabel="fake rate", ylim=(-0.002, max(0.052, fake.get_ylim()[1])))
    for axes, goal in ((efficient, 0.95), (fake, 0.05)):
        axes.axhline(goal, color="black", linewidth=0.8, linestyle=":", label="goal")
    for axes in figure.axes:
        axes.set(xscale="log", xlabel="hits in an event")
        axes.grid(alpha=0.25, which="both")
        axes.legend(frameon=False, fontsize=8, loc="upper left" if axes is time else "center")
    return figure


def _draw_layers(across: Axes, along: Axes, barrel: Barrel) -> None:
    angle = np.linspace(-np.pi, np.pi, 181)
    for radius_mm in barrel.radii_mm:
        across.plot(radius_mm * np.cos(angle), radius_mm * np.sin(angle), color="0.85", linewidth=0.6, zorder=0)
        along.plot(
            [-barrel.half_length_mm, barrel.half_length_mm], [radius_mm] * 2, color="0.85", linewidth=0.6, zorder=0
        )


def _paths(tracks: Floats, barrel: Barrel) -> list[tuple[Floats, Floats, Floats]]:
    """Follow tracks out to the last layer, or to where they turn back."""
    steps = np.linspace(np.abs(tracks[0]).max(initial=0) + 0.5, barrel.radii_mm[-1], _STEPS)
    at = [cross(tracks, float(radius), barrel) for radius in steps]
    phi, z_mm = np.array([each.phi for each in at]), np.array([each.z_mm for each in at])
    reached = np.array([each.reached for each in at])
    return [
        (steps[on] * np.cos(phi[on, i]), steps[on] * np.sin(phi[on, i]), z_mm[on, i]) for i, on in enumerate(reached.T)
    ]
