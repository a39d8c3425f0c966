"""Pictures of simulated scans over the points of papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.study.plots.curves import over
from sonic.study.published import study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.study.records import Record
    from sonic.study.simulation.spec import Spec

    FloatArray = NDArray[np.float64]

_LABELS = {
    "jobs": "jobs",
    "module_s": "time of the module in an event (s)",
    "events_per_s_per_job": "events/s of a job",
}


def over_published(scans: Sequence[tuple[Spec, Sequence[Record]]]) -> Figure:
    """Draw simulated scans as lines over the points of the paper that their specs name.

    Parameters
    ----------
    scans : sequence of (Spec, sequence of Record)
        All of one paper, with the same quantities.

    Raises
    ------
    ConfigError
        If they are not, or name none; if matplotlib or mplhep are missing.
    """
    points: dict[str, tuple[FloatArray, FloatArray]] = {}
    curves: dict[str, tuple[FloatArray, FloatArray]] = {}
    axes = set()
    for spec, records in scans:
        if spec.published is None:
            raise ConfigError(f"{spec.target}: its spec names no published scan to be drawn over")
        curve = study(spec.published.study).curve(spec.published.curve)
        axes.add((spec.published.study, curve.x, curve.y))
        drawn = sorted((float(record.settings[curve.x]), record.details[curve.y]) for record in records)
        points[curve.name], curves[curve.name] = _columns(curve.points), _columns(drawn)
    if len(axes) != 1:
        raise ConfigError(f"scans of {len(axes)} papers or quantities are drawn one by one")
    ((name, x, y),) = axes
    paper = study(name)
    title = f"{paper.source}: published (points), simulated (lines)"
    figure = over(points, curves, _LABELS.get(x, x), _LABELS.get(y, y), title=title)
    figure.axes[0].set_ylim(0, 1.15 * max(values.max() for _, values in (*points.values(), *curves.values())))
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    xs, ys = zip(*points, strict=True)
    return np.array(xs, np.float64), np.array(ys, np.float64)
