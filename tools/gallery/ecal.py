"""The electromagnetic calorimeter: the layers of a shower, bias and resolution by energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import sonic
from sonic.workloads import MODELS
from sonic.workloads.ecal import plots
from sonic.workloads.ecal.calibration import energies, sums
from sonic.workloads.ecal.geometry import CELL_ETA, ENERGIES_GEV
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.simulation import electrons
from sonic.workloads.resolution import resolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure


def shower() -> Figure:
    """Draw an electron of some 50 GeV."""
    made = electrons(50, seed=31)
    chosen = int(np.abs(made.energy_gev - 50).argmin())
    title = rf"an electron of {made.energy_gev[chosen]:.0f} GeV at $\eta$ = {made.eta[chosen]:.2f}"
    return plots.shower(draw(made)[chosen], title)


def resolutions() -> Figure:
    """Bias and resolution of DeepCalo and of the window's sums, over the whole barrel."""
    made = electrons(3000, seed=32)
    drawn = draw(made)
    with sonic.Model(f"local:{MODELS}/deepcalo-tiny") as model:
        ours = model(images=drawn)["energy"][:, 0]
    found = {"DeepCalo, tiny": ours, "window, weighted": energies(sums(drawn), CELL_ETA * (made.ieta + 0.5))}
    found["window, plain sum"] = sums(drawn).sum(axis=1)
    return plots.resolution({name: resolution(made.energy_gev, each, ENERGIES_GEV) for name, each in found.items()})


PICTURES: dict[str, Callable[[], Figure]] = {"ecal-shower": shower, "ecal-resolution": resolutions}
