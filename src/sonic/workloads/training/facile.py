"""Train FACILE to give the energies of simulated channels of the hadron calorimeter: one trainer for each size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sonic.workloads.hcal import sums
from sonic.workloads.hcal.features import energies, inputs
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.simulation import Beam, conditions, event
from sonic.workloads.networks import facile
from sonic.workloads.networks.facile import Facile
from sonic.workloads.resolution import ENERGIES_GEV, resolution
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from sonic.workloads.hcal.simulation import Conditions, Event
    from sonic.workloads.networks.facile import FacileConfig
    from sonic.workloads.progress import Progress

DEFAULTS = Recipe(events=400, seed=1, epochs=20, batch=1024, learning_rate=1e-2, width=1.0, device="auto", cores=1)
PILEUP = (0.0, 25.0, 50.0, 75.0, 100.0)
"""Collisions a crossing, of the events by turns."""
EDGES_GEV = (*ENERGIES_GEV, 128.0)
_JETS = Beam(jets=20.0, pt_power=1.5)
"""Many jets, as many of any size nearly: large energies, which are rare, have to be learnt as well."""
_WHOLE_GEV = 4.0
_LEAST_SHARE = 0.05
"""Of channels that seem to have little or nothing."""


@dataclass(frozen=True)
class Trainer:
    """What trains one of the sizes.

    Parameters
    ----------
    version : {"v2", "v5", "fpga"}
        Of the network's inputs.
    config : FacileConfig
    DEFAULTS : Recipe
        Unless told otherwise.
    """

    version: str
    config: FacileConfig
    DEFAULTS: Recipe

    def train(self, recipe: Recipe, folder: Path, progress: Progress) -> tuple[Facile, dict[str, Any]]:
        """Simulate events, train on them and test on others.

        Parameters
        ----------
        recipe : Recipe
            Resolved.
        folder : Path
            For the checkpoint.
        progress : callable of (stage, done, total)

        Returns
        -------
        network : Facile
            On the CPU, in evaluation mode.
        metrics : dict
            Numbers of events and channels, losses, and bias and resolution on the test events by pile-up and energy,
            beside the pulse fit's and the sum's of two slices.
        """
        known = conditions(recipe.seed)
        rows, true = sample(recipe, known, progress, self.version)
        x, y = torch.from_numpy(rows), torch.from_numpy(true)

        def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
            network.eval()  # the normalisations keep the statistics that they have
            return loss(network(x[chosen].to(recipe.device))[:, 0], y[chosen].to(recipe.device))

        with deterministic(recipe):
            network = Facile(self.config.times(recipe.width))
            normalise(network, x)
            network = network.to(recipe.device)
            losses, seconds = fit(network, loss_of, len(y), recipe, folder / "checkpoint.pt", progress)
        network = network.cpu()
        test = max(len(PILEUP), recipe.events // 4)
        found = evaluate(network, test, recipe.seed, known, progress, self.version)
        metrics = {
            "figure": figure(found),
            "data": "channels of simulated events in the hadron calorimeter, with 0 to 100 collisions a crossing",
            "limits": "Calibration, pulse shape and noise are the simulation's, the same for training and test. Above "
            "some 100 GeV a channel saturates, and its energy is found too low.",
            "train_events": recipe.events,
            "train_channels": len(y),
            "test_events": test,
            "losses": losses,
            "training_s": seconds,
        }
        return network, metrics | found


@torch.no_grad()
def normalise(network: Facile, rows: Tensor) -> None:
    """Give the normalisations the statistics of rows [channels, inputs], by the weights that the network starts with.

    They stay: charges vary so much that a batch's own spread says little of the next one's.
    """
    network.eval()
    layers = list(network.layers)
    last = max(number for number, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm1d))
    for layer in layers[: last + 1]:  # behind it, nothing is asked for, and a whole sample takes much memory
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean, layer.running_var = rows.mean(0), rows.var(0)
        rows = layer(rows)


def sample(
    recipe: Recipe, known: Conditions, progress: Progress, version: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Simulate channels to train on: all that seem to have much, and a part of the others.

    Which are left out depends on their charges alone, by the sum of two slices: what can be said of a channel by its
    charges is the same in the sample as in whole events.

    Returns
    -------
    rows : float32 array [channels, inputs of the version]
    true : float32 array [channels]
        Energies in GeV.
    """
    where, rows, true = channels(), [], []
    for number in range(recipe.events):
        made, random = _simulate(number, recipe.seed, "train", known)
        charge_fc = made.charge_fc
        share = np.clip(sums.energy(charge_fc, known) / _WHOLE_GEV, _LEAST_SHARE, 1.0)
        kept = np.flatnonzero(random.uniform(size=len(made)) < share)
        rows.append(inputs(charge_fc[kept], where[kept], known.gain_gev[kept], version))
        true.append(made.energy_gev[kept].astype(np.float32))
        progress("events", number + 1, recipe.events)
    return np.concatenate(rows), np.concatenate(true)


def loss(found: Tensor, true: Tensor) -> Tensor:
    """Huber loss of what is missing, in units of about what the fit resolves: 0.06 GeV, 11.5 % and 1.5 %."""
    spread = torch.sqrt(0.06**2 + 0.115**2 * true + (0.015 * true) ** 2)
    return functional.huber_loss(found / spread, true / spread, delta=2.0)


@torch.no_grad()
def predict(network: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the energies of channels in GeV."""
    return energies(network(torch.from_numpy(rows)).numpy())


def evaluate(
    network: nn.Module, events: int, seed: int, known: Conditions, progress: Progress, version: str
) -> dict[str, Any]:
    """Find bias and resolution on events of their own, as lists by the bins of the true energy.

    Returns
    -------
    dict
        ``edges_gev``, and by ``pileup`` and algorithm ``bias`` and ``resolution``; None where there are few channels.
    """
    true: dict[float, list[Any]] = {mean: [] for mean in PILEUP}
    found: dict[float, dict[str, list[Any]]] = {m: {"facile": [], "fit": [], "sum": []} for m in PILEUP}
    for number in range(events):
        made, _ = _simulate(number, seed, "test", known)
        some = np.flatnonzero(made.energy_gev >= EDGES_GEV[0])
        charge_fc, these = made.charge_fc[some], known[some]
        mean = PILEUP[number % len(PILEUP)]
        true[mean].append(made.energy_gev[some])
        rows = inputs(charge_fc, channels()[some], these.gain_gev, version)
        found[mean]["facile"].append(predict(network, rows))
        found[mean]["fit"].append(MAHI.fit(charge_fc, these).energy_gev)
        found[mean]["sum"].append(sums.energy(charge_fc, these))
        progress("test", number + 1, events)
    figures = {}
    for mean in PILEUP[:events]:  # as many as there are events of
        row = {}
        for name, each in found[mean].items():
            got = resolution(np.concatenate(true[mean]), np.concatenate(each), EDGES_GEV)
            row[name] = got.listed()
        figures[f"{mean:g}"] = row
    return {"edges_gev": list(EDGES_GEV), "pileup": figures}


def figure(found: dict[str, Any]) -> str:
    """Say in one line what :func:`evaluate` found: the resolution over the fit's, in all bins with pile-up."""
    ratios = [
        ours / fits
        for mean, row in found["pileup"].items()
        if float(mean) > 0
        for ours, fits in zip(row["facile"]["resolution"], row["fit"]["resolution"], strict=True)
        if ours is not None and fits
    ]
    if not ratios:
        return "resolution unknown: too few events with pile-up"
    low, middle, high = np.percentile(ratios, [0, 50, 100])
    return f"resolution {middle:.2f} of the pulse fit's ({low:.2f} to {high:.2f})"


def _simulate(number: int, seed: int, role: str, known: Conditions) -> tuple[Event, np.random.Generator]:
    random = np.random.default_rng((seed, 3, role == "test", number))
    return event(replace(_JETS, pileup=PILEUP[number % len(PILEUP)]), known, random), random


V2 = Trainer("v2", facile.V2, replace(DEFAULTS, events=600))
V5 = Trainer("v5", facile.V5, DEFAULTS)
FPGA = Trainer("fpga", facile.FPGA, DEFAULTS)
