"""The hadron calorimeter: pulse fits, and bias and resolution by energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.hcal import plots, sums
from sonic.workloads.hcal.figures import resolution
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.simulation import Beam, conditions, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_KNOWN = conditions(seed=1)


def fits() -> Figure:
    """Six channels at 100 collisions a crossing: hard, late, in pile-up, without a pulse in time, soft."""
    made = events(8, Beam(pileup=100, jets=20), known=_KNOWN, seed=5)
    charge_fc = np.concatenate([event.charge_fc for event in made])
    deposits_gev = np.concatenate([event.deposits_gev for event in made])
    true = np.concatenate([event.energy_gev for event in made])
    found = np.concatenate([MAHI.fit(event.charge_fc, _KNOWN).energy_gev for event in made])
    others = deposits_gev.sum(axis=1) - true
    hard = np.divide(found, true, out=np.full(len(true), np.inf), where=true > 30)
    busy = np.where(others > 3, true, np.inf)
    chosen = np.array(
        [
            hard.argmin(),  # late: a later crossing is given part of it
            np.abs(true - 47).argmin(),
            np.abs(busy - 7).argmin(),
            np.abs(busy - 4).argmin(),
            np.where(true == 0, others, 0).argmax(),
            np.abs(true - 0.7).argmin(),
        ]
    )
    known = _KNOWN[chosen % len(made[0])]
    return plots.pulse_fits(charge_fc[chosen], known, MAHI.fit(charge_fc[chosen], known), true[chosen])


def resolutions() -> Figure:
    """Bias and resolution of the fit and of two slices, without pile-up and with much of it."""
    curves = {}
    for pileup, label in ((0, "no pile-up"), (50, "50 collisions a crossing"), (100, "100 collisions a crossing")):
        made = events(20, Beam(pileup=pileup, jets=20), known=_KNOWN, seed=6)
        true = np.concatenate([event.energy_gev for event in made])
        found = {
            "pulse fit": np.concatenate([MAHI.fit(event.charge_fc, _KNOWN).energy_gev for event in made]),
            "two slices": np.concatenate([sums.energy(event.charge_fc, _KNOWN) for event in made]),
        }
        curves[label] = {name: resolution(true, energy_gev) for name, energy_gev in found.items()}
    return plots.resolutions(curves)


PICTURES: dict[str, Callable[[], Figure]] = {"hcal-fits": fits, "hcal-resolution": resolutions}
