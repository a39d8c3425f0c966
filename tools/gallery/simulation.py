"""What simulations say of the scans that were published. Some minutes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sonic.study.simulation.examples import find
from sonic.study.simulation.pictures import over_published
from sonic.study.simulation.run import load, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure


def simulated(name: str) -> Figure:
    """Draw the scans of a paper, from the specs that ship."""
    scans = [load(path) for path in find(name)]
    return over_published([(points[0][1], [simulate(spec, settings) for settings, spec in points]) for points in scans])


PICTURES: dict[str, Callable[[], Figure]] = {
    "study-simulated-miniaod": partial(simulated, "miniaod-ak4"),
    "study-simulated-protodune": partial(simulated, "protodune"),
}
