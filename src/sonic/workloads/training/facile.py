"""Train FACILE (v5) to give the energies of simulated channels of the hadron calorimeter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from sonic.workloads.hcal import sums
from sonic.workloads.hcal.features import inputs
from sonic.workloads.hcal.figures import ENERGIES_GEV, resolution
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hcal.mahi import MAHI
from sonic.workloads.hcal.simulation import Beam, conditions, event
from sonic.workloads.networks.facile import V5, Facile
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.hcal.simulation import Conditions, Event
    from sonic.workloads.training.loop import Progress

DEFAULTS = Recipe(events=200, seed=1, epochs=30, batch=4096, learning_rate=1e-2, width=1.0, device="auto", cores=0)
PILEUP = (0.0, 25.0, 50.0, 75.0, 100.0)
"""Collisions a crossing, of the events by turns."""
JETS = 20.0
"""Of an event on average: many, so that large energies are not rare."""
_SOFT_GEV = 0.5
_KEPT = 0.05
"""Fraction of channels with little in them that are trained on."""


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[Facile, dict[str, Any]]:
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
    rows, energies = sample(recipe, known, progress)
    x, y = torch.from_numpy(rows), torch.from_numpy(energies)

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        # Charges vary so much that a batch's own spread says little of the next one's: the whole sample's is used.
        normalisation.eval()
        return loss(network(x[chosen].to(recipe.device))[:, 0], y[chosen].to(recipe.device))

    with deterministic(recipe):
        network = Facile(V5.times(recipe.width))
        normalisation = network.layers[0]
        normalisation.running_mean, normalisation.running_var = x.mean(0), x.var(0)
        network = network.to(recipe.device)
        losses, seconds = fit(network, loss_of, len(y), recipe, folder / "checkpoint.pt", progress)
    network = network.cpu()
    test = max(len(PILEUP), recipe.events // 4)
    metrics = {
        "train_events": recipe.events,
        "train_channels": len(y),
        "test_events": test,
        "processes": {"simulated channels": 1.0},
        "losses": losses,
        "training_s": seconds,
    }
    return network, metrics | evaluate(network, test, recipe.seed, known, progress)


def sample(recipe: Recipe, known: Conditions, progress: Progress) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Simulate channels to train on: all with something in them, and a part of the others.

    Returns
    -------
    rows : float32 array [channels, 46]
    energies : float32 array [channels]
        True ones, in GeV.
    """
    where, rows, energies = channels(), [], []
    for number in range(recipe.events):
        made, random = _simulate(number, recipe.seed, "train", known)
        much = made.deposits_gev.sum(axis=1) > _SOFT_GEV
        kept = np.flatnonzero(much | (random.uniform(size=len(made)) < _KEPT))
        rows.append(inputs(made.charge_fc[kept], where[kept], known.gain_gev[kept]))
        energies.append(made.energy_gev[kept].astype(np.float32))
        progress("events", number + 1, recipe.events)
    return np.concatenate(rows), np.concatenate(energies)


def loss(found: Tensor, true: Tensor) -> Tensor:
    """Huber loss of what is missing, in units of what an energy can be known to: 0.1 GeV, 15 % and 4 %."""
    spread = torch.sqrt(0.1**2 + 0.15**2 * true + (0.04 * true) ** 2)
    return functional.huber_loss(found / spread, true / spread, delta=2.0)


@torch.no_grad()
def predict(network: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the energies of channels in GeV; none is negative."""
    found = network(torch.from_numpy(rows))[:, 0].numpy().astype(np.float64)
    energies: NDArray[np.float64] = np.maximum(found, 0.0)
    return energies


def evaluate(network: nn.Module, events: int, seed: int, known: Conditions, progress: Progress) -> dict[str, Any]:
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
        mean = PILEUP[number % len(PILEUP)]
        true[mean].append(made.energy_gev)
        found[mean]["facile"].append(predict(network, inputs(made.charge_fc, channels(), known.gain_gev)))
        found[mean]["fit"].append(MAHI.fit(made.charge_fc, known).energy_gev)
        found[mean]["sum"].append(sums.energy(made.charge_fc, known))
        progress("test", number + 1, events)
    figures = {}
    for mean in PILEUP[:events]:  # as many as there are events of
        row = {}
        for name, energies in found[mean].items():
            got = resolution(np.concatenate(true[mean]), np.concatenate(energies))
            row[name] = {"bias": _listed(got.bias), "resolution": _listed(got.width)}
        figures[f"{mean:g}"] = row
    return {"edges_gev": list(ENERGIES_GEV), "pileup": figures}


def _simulate(number: int, seed: int, role: str, known: Conditions) -> tuple[Event, np.random.Generator]:
    random = np.random.default_rng((seed, 3, role == "test", number))
    return event(Beam(pileup=PILEUP[number % len(PILEUP)], jets=JETS), known, random), random


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]
