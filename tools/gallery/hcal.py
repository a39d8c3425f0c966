"""The hadron calorimeter: pulse fits, bias and resolution by energy, and what they do to jets and missing energy."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

import sonic
from sonic.workloads import MODELS
from sonic.workloads.hcal import plots, sums
from sonic.workloads.hcal.effects import effects, simulate
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.service import facile
from sonic.workloads.hcal.simulation import Beam, conditions, events
from sonic.workloads.resolution import resolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from sonic.workloads.hcal.effects import Algorithm
    from sonic.workloads.hcal.pulse import Floats

_KNOWN = conditions(seed=1)
_LABELS = {0.0: "no pile-up", 50.0: "50 collisions a crossing", 100.0: "100 collisions a crossing"}


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


@cache
def algorithms() -> dict[str, Algorithm]:
    """Return the ways to a channel's energy."""
    network = sonic.Model(f"local:{MODELS}/facile-v5")
    return {
        "pulse fit": lambda charge_fc, known: MAHI.fit(charge_fc, known).energy_gev,
        "FACILE v5": partial(facile, network),
        "two slices": sums.energy,
    }


@cache
def sample(pileup: float) -> tuple[Floats, dict[str, Floats]]:
    """Return true and found energies of 20 events with many jets, and more hard ones than there are."""
    beam = Beam(pileup=pileup, jets=20, max_pt_gev=300, pt_power=2.5)
    return simulate(20, beam, algorithms(), known=_KNOWN, seed=6)


def resolutions() -> Figure:
    """Bias and resolution of all ways, without pile-up and with much of it."""
    curves = {}
    for pileup, label in _LABELS.items():
        true, found = sample(pileup)
        curves[label] = {name: resolution(true.ravel(), each.ravel()) for name, each in found.items()}
    return plots.resolutions(curves)


def jets() -> Figure:
    """Jets and missing energy of all ways, by momentum and by pile-up."""
    found = {}
    for pileup in _LABELS:
        true, energies = sample(pileup)
        found[pileup] = {name: effects(true, each) for name, each in energies.items()}
    return plots.jets_and_missing_energy(found)


PICTURES: dict[str, Callable[[], Figure]] = {"hcal-fits": fits, "hcal-resolution": resolutions, "hcal-jets": jets}
