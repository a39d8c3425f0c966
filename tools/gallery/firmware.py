"""Firmware: what fixed point does to the energies of the hadron calorimeter."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from sonic.firmware.fromonnx import read
from sonic.firmware.physics import resolutions
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate
from sonic.firmware.report import Distance
from sonic.firmware.search import search
from sonic.workloads import MODELS
from sonic.workloads.hcal.sample import rows
from sonic.workloads.plots import COLOURS, panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from sonic.firmware.network import Network
    from sonic.workloads.resolution import Resolution

_EVENTS = 40
_PLAIN_UP_TO_GEV = 16.0
"""Half of where `ap_fixed<16,6>` ends."""
_FLOAT, _PLAIN, _SEARCHED = "floating point", "ap_fixed<16,6> for all", "bits by layer"


@cache
def searched() -> tuple[Network, Precision]:
    """Return FACILE, and the numbers that a search on simulated channels finds for it."""
    network = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile")
    return network, search(network, network.prepare(rows()), 0.0005).best.precision


def distance() -> Figure:
    """Draw how far energies in those numbers are from energies in floating point."""
    network, precision = searched()
    given = network.prepare(rows())
    apart = evaluate(network, precision, given) - evaluate(network, None, given)
    return Distance.of("of simulated channels", apart).picture()


@cache
def found() -> dict[str, Resolution]:
    """Return what FACILE resolves in floating point, in the numbers of the paper, and in those that a search found."""
    network, precision = searched()
    return resolutions(network, {_FLOAT: None, _PLAIN: Precision(), _SEARCHED: precision}, events=_EVENTS)


def facile() -> Figure:
    """Draw resolution against energy, and what fixed point adds to it."""
    figure = panels(2, 1, 3.6)
    width, ratio = figure.axes
    ratio.axhspan(-2, 2, color="0.92")
    for colour, style, (name, all_of) in zip(COLOURS, ("o-", "s--", "D:"), found().items(), strict=False):
        # Where energies wrap around there is no resolution to speak of.
        seen = all_of.energy_gev < (_PLAIN_UP_TO_GEV if name == _PLAIN else np.inf)
        each = type(all_of)(*(values[seen] for values in all_of))
        error = 100 * each.width / np.sqrt(2 * np.maximum(each.number, 1))
        width.errorbar(each.energy_gev, 100 * each.width, error, fmt=style, color=colour, label=name, markersize=4)
        if name != _FLOAT:
            more = 100 * (each.width / found()[_FLOAT].width[seen] - 1)
            ratio.plot(each.energy_gev, more, style, color=colour, label=name, markersize=4)
    width.set(ylabel="resolution (%)", ylim=(0, 20), title="50 collisions a crossing")
    ratio.set(ylabel="worse than in floating point (%)", ylim=(-5, 5), title="the band is 2 %")
    for axes in figure.axes:
        axes.set(xscale="log", xlabel="true energy (GeV)")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.25)
    width.legend(frameon=False)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {"firmware-facile": facile, "firmware-distance": distance}
