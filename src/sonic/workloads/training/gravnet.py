"""Train GravNet with object condensation to find simulated showers in the endcap calorimeter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sonic.workloads.hgcal import density
from sonic.workloads.hgcal.condensation import clusters
from sonic.workloads.hgcal.features import inputs
from sonic.workloads.hgcal.figures import outcome, summary, total
from sonic.workloads.hgcal.matching import MIN_HITS
from sonic.workloads.hgcal.simulation import Beam, event
from sonic.workloads.networks.gravnet import GravNet, GravNetConfig
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from sonic.workloads.hgcal.detector import Ints
    from sonic.workloads.hgcal.simulation import Event
    from sonic.workloads.progress import Progress

DEFAULTS = Recipe(events=1000, seed=1, epochs=8, batch=4, learning_rate=2e-3, width=0.5, device="auto", cores=0)
"""Half as wide as published: a file small enough to ship."""

_LEAST_CHARGE = 0.5
_GREATEST_BETA = 0.999
_PREPARED = 100
"""Events whose statistics the normalisations get."""


class Sample:
    """Events to train on, as tensors.

    Parameters
    ----------
    events : list of Event
    device : str
    """

    def __init__(self, events: list[Event], device: str) -> None:
        self.hits = [torch.from_numpy(features(each)).to(device) for each in events]
        self.showers = [torch.from_numpy(targets(each)).to(device) for each in events]

    def __len__(self) -> int:
        return len(self.hits)


def features(made: Event) -> NDArray[np.float32]:
    """Return what the network is told of an event; float32 array [hits, 5]."""
    return inputs(made.hits)


def targets(made: Event) -> NDArray[np.float32]:
    """Say which hit is of which shower, of those that have hits enough; float32 array [hits, showers] of 0 and 1."""
    of_shower = made.shower[:, None] == np.arange(len(made.kind))
    kept: NDArray[np.float32] = of_shower[:, of_shower.sum(axis=0) >= MIN_HITS].astype(np.float32)
    return kept


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[GravNet, dict[str, Any]]:
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
    network : GravNet
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of events, losses, and what is found of the showers of the test events, beside the simple clustering
        and the truth's own groups.
    """
    sample = Sample(simulate(recipe.events, recipe.seed, "train", progress), recipe.device)

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        for norm in _norms(network):
            norm.eval()
        losses = []
        for i in chosen:
            logit, coordinates = network(sample.hits[i])
            losses.append(loss(logit, coordinates, sample.showers[i]))
        return torch.stack(losses).mean()

    with deterministic(recipe):
        network = GravNet(GravNetConfig().times(recipe.width)).to(recipe.device)
        prepare(network, sample.hits[:_PREPARED])
        losses, seconds = fit(network, loss_of, len(sample), recipe, folder / "checkpoint.pt", progress)
    network = network.cpu()
    test = simulate(max(1, recipe.events // 4), recipe.seed, "test", progress)
    metrics = {
        "train_events": len(sample),
        "test_events": len(test),
        "losses": losses,
        "training_s": seconds,
    }
    metrics |= evaluate(network, test)
    return network, metrics | texts(metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what the metrics say."""
    found, ordinary = (metrics["showers"][name]["efficiency"] or 0.0 for name in ("gravnet", "density"))
    fakes = metrics["showers"]["gravnet"]["fake_rate"] or 0.0
    return {
        "figure": f"efficiency {found:.2f} (by density {ordinary:.2f}), fakes {fakes:.2f}",
        "data": f"{metrics['train_events']} simulated events of an endcap calorimeter, 2 to 5 photons, electrons and "
        "hadrons of 2 to 30 GeV within 15 cm",
        "limits": "The showers are parametrised, not those of any experiment. It has seen no more than 5 an event: of "
        "ten or more the clustering by density finds more",
    }


@torch.no_grad()
def predict(network: nn.Module, made: Event) -> Ints:
    """Group the hits of an event by a network in evaluation mode; int array [hits], -1: in no cluster."""
    beta, coordinates = network(torch.from_numpy(features(made)))
    return clusters(beta.numpy(), coordinates.numpy())


def evaluate(network: nn.Module, events: list[Event]) -> dict[str, Any]:
    """Find what the network, the clustering by density and the truth's own groups make of events.

    Returns
    -------
    dict
        ``showers``: by the clustering, what :func:`sonic.workloads.hgcal.figures.summary` gives.
    """
    ways: dict[str, Callable[[Event], Ints]] = {
        "gravnet": lambda made: predict(network, made),
        "density": lambda made: density.clusters(made.hits),
        "truth": lambda made: made.shower,
    }
    found = {name: total(outcome(each, way(each)) for each in events) for name, way in ways.items()}
    return {"showers": {name: summary(of) for name, of in found.items()}}


def simulate(number: int, seed: int, role: str, progress: Progress, beam: Beam | None = None) -> list[Event]:
    """Simulate events for a role, ``train`` or ``test``; those of one are not those of the other."""
    made = []
    for i in range(number):
        made.append(event(beam or Beam(), np.random.default_rng((seed, 4, role == "test", i))))
        progress("events" if role == "train" else role, i + 1, number)
    return made


@torch.no_grad()
def prepare(network: GravNet, hits: list[Tensor]) -> None:
    """Give the normalisations the statistics of a sample, as they are before any training.

    They keep them: from event to event statistics differ so much that those of one say little of the next, and what
    is trained is what infers.

    Parameters
    ----------
    network : GravNet
    hits : list of Tensor [hits, 5]
        Of events.
    """
    network.train()
    for norm in _norms(network):
        norm.momentum = None  # the mean over all events
    for each in hits:
        network(each)
    together = torch.cat(hits)
    network.input_norm.running_mean, network.input_norm.running_var = together.mean(0), together.var(0)


def loss(logit: Tensor, coordinates: Tensor, showers: Tensor) -> Tensor:
    """Loss of one event: showers attract their hits and repel others', and each has one hit that stands for it.

    Kieseler, arXiv:2002.03605, equations 2 to 8, without properties of the objects, and with the logarithm of beta in
    place of beta, which is no longer pulled once it is small. A shower of few hits counts as much as one of many.

    Parameters
    ----------
    logit : Tensor [hits]
        Of beta.
    coordinates : Tensor [hits, 3]
    showers : Tensor [hits, showers]
        1 where a hit is of a shower; a row of zeros is noise.
    """
    beta = torch.sigmoid(logit)
    noise = showers.sum(1) == 0
    background = functional.softplus(logit[noise]).mean() if bool(noise.any()) else logit.sum() * 0
    if not showers.shape[1]:
        return background
    charge = torch.atanh(beta.clamp(max=_GREATEST_BETA)) ** 2 + _LEAST_CHARGE
    point = (charge.detach().unsqueeze(1) * showers).argmax(0)
    square = (coordinates.unsqueeze(1) - coordinates[point].unsqueeze(0)).square().sum(2)
    attraction = square * showers
    # The root has no derivative at 0, where a point meets itself.
    repulsion = functional.relu(1 - torch.sqrt(square + 1e-6)) * (1 - showers)
    of_hit = (charge.unsqueeze(1) * (attraction + repulsion) * charge[point]).sum(1)
    potential = (of_hit @ (showers / showers.sum(0))).mean()
    return potential + functional.softplus(-logit[point]).mean() + background


def _norms(network: nn.Module) -> list[nn.BatchNorm1d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
