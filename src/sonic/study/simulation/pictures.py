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


def published_axes(specs: Sequence[Spec]) -> tuple[str, str, str]:
    """Return the paper that specs stand beside, and the quantities of its scans along x and y.

    Raises
    ------
    ConfigError
        If a spec names no published scan, or several name different papers or quantities.
    """
    axes = set()
    for spec in specs:
        if spec.published is None:
            raise ConfigError(f"{spec.target}: its spec names no published scan to be drawn over")
        curve = spec.published.scan()
        axes.add((spec.published.study, curve.x, curve.y))
    if len(axes) != 1:
        raise ConfigError(f"scans of {len(axes)} papers or quantities are drawn one by one")
    return axes.pop()


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
    name, x, y = published_axes([spec for spec, _ in scans])
    paper = study(name)
    points: dict[str, tuple[FloatArray, FloatArray]] = {}
    curves: dict[str, tuple[FloatArray, FloatArray]] = {}
    for spec, records in scans:
        assert spec.published is not None  # noqa: S101 - it has axes
        curve = spec.published.scan()
        if not all(x in record.settings and y in record.details for record in records):
            raise ConfigError(f"{spec.target}: {curve.name} is of {y} by {x}, which is not simulated")
        drawn = sorted((float(record.settings[x]), record.details[y]) for record in records)
        points[curve.name], curves[curve.name] = _columns(curve.points), _columns(drawn)
    title = f"{paper.source}: published (points), simulated (lines)"
    figure = over(points, curves, _LABELS.get(x, x), _LABELS.get(y, y), title=title)
    figure.axes[0].set_ylim(0, 1.15 * max(values.max() for _, values in (*points.values(), *curves.values())))
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    xs, ys = zip(*points, strict=True)
    return np.array(xs, np.float64), np.array(ys, np.float64)
