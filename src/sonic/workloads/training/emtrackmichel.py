"""Train EmTrackMichel to tell the hits of a simulated liquid-argon chamber apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from sonic.framework.module import add
from sonic.workloads.lartpc import linearity
from sonic.workloads.lartpc.chamber import PROTODUNE
from sonic.workloads.lartpc.particles import EM, KINDS, NONE, TRACK, Beam
from sonic.workloads.lartpc.patches import SIZE, cut, images
from sonic.workloads.lartpc.performance import best_michel_cut, figures, sums
from sonic.workloads.lartpc.simulation import event
from sonic.workloads.networks.catalogue import blueprint
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Event
    from sonic.workloads.progress import Progress

DEFAULTS = Recipe(events=150, seed=1, epochs=10, batch=256, learning_rate=3e-3, width=0.125, device="auto", cores=1)
BEAM = Beam(stopping=8.0)
"""Of the events to train on: more muons stop in them than in others, so that Michel electrons are less rare."""
_MOST = {TRACK: 200, EM: 250, NONE: 50}
"""Hits of a kind that an event gives to train on; those of Michel electrons are rare, and all taken."""
_BATCH = 1720


def train(
    recipe: Recipe, folder: Path, progress: Progress, chamber: Chamber = PROTODUNE
) -> tuple[nn.Module, dict[str, Any]]:
    """Simulate events, train on a part of their hits and test on all hits of others.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    folder : Path
        For the checkpoint.
    progress : callable of (stage, done, total)
    chamber : Chamber

    Returns
    -------
    network : EmTrackMichel
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of events and hits, losses, the cut for Michel electrons, and figures on the test events beside those
        of the ordinary algorithm.
    """
    patches, kinds, michel = sample(recipe, chamber, progress)
    x, k, m = torch.from_numpy(patches), torch.from_numpy(kinds), torch.from_numpy(michel)
    weights = len(kinds) / (len(KINDS) * np.maximum(np.bincount(kinds, minlength=len(KINDS)), 1))
    by_kind = torch.tensor(weights, dtype=torch.float32, device=recipe.device)

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        seen = mirrored(x[chosen]).to(recipe.device)
        kind, one = network(seen)
        return loss(kind, one[:, 0], k[chosen].to(recipe.device), m[chosen].to(recipe.device), by_kind)

    with deterministic(recipe):
        network = blueprint("emtrackmichel").make(recipe.width).to(recipe.device)
        losses, seconds = fit(network, loss_of, len(kinds), recipe, folder / "checkpoint.pt", progress)
        network = network.cpu()
        tuning, test = max(1, recipe.events // 10), max(1, recipe.events // 4)
        michel_cut = best_michel_cut(evaluate(network, tuning, recipe.seed, "tuning", chamber, progress))
        total = evaluate(network, test, recipe.seed, "test", chamber, progress)
    metrics = {
        "train_events": recipe.events,
        "train_hits": len(kinds),
        "test_events": test,
        "test_hits": int(total["network"].sum()),
        "losses": losses,
        "training_s": seconds,
        "michel_cut": michel_cut,
        "figures": {label: round(value, 4) for label, value in figures(total, michel_cut).items()},
        "kinds": list(KINDS),
        "confusion": total["network"].tolist(),
        "confusion_straightness": total["ordinary"].tolist(),
    }
    return network, metrics | texts(metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words how good a network is, what it was trained on, and what it is not good for.

    Parameters
    ----------
    metrics : mapping
        As of :func:`train`.
    """
    found = metrics["figures"]
    names = [name for name in ("track", "em", "michel") if f"AUC {name}" in found]
    return {
        "figure": "AUC " + ", ".join(f"{name} {found[f'AUC {name}']:.3f}" for name in names),
        "data": f"{metrics['train_hits']:,} hits of {metrics['train_events']} simulated events in liquid argon",
        "limits": "Trained on a simple simulation of one chamber, not on any experiment's. At its cut, "
        f"{found.get('efficiency michel', 0.0):.0%} of the hits of Michel electrons are found, with a purity of "
        f"{found.get('purity michel', 0.0):.0%}.",
    }


def sample(
    recipe: Recipe, chamber: Chamber, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Simulate hits to train on.

    Returns
    -------
    patches : float32 array [hits, 48, 48, 1]
    kinds : int array [hits]
    michel : float32 array [hits]
        1 or 0.
    """
    patches, kinds, michel = [np.empty((0, SIZE, SIZE, 1), np.float32)], [], []
    for number in range(recipe.events):
        made, random = _simulate(number, recipe.seed, "train", chamber)
        kind, chosen = made.kind, made.michel.copy()
        for which, most in _MOST.items():
            there = np.flatnonzero((kind == which) & ~made.michel)
            chosen[random.permutation(there)[:most]] = True
        for plane, image in enumerate(images(made.pixels, chamber)):
            mine = np.flatnonzero(chosen & (made.hits.plane == plane))
            patches.append(cut(image, made.hits.wire[mine], made.hits.sample[mine]))
            kinds.append(kind[mine])
            michel.append(made.michel[mine].astype(np.float32))
        progress("events", number + 1, recipe.events)
    return np.concatenate(patches), np.concatenate(kinds), np.concatenate(michel)


def mirrored(patches: Tensor) -> Tensor:
    """Mirror a batch of patches [N, 48, 48, 1] about the hit, along wires, samples or both, at random.

    The hit is at 24 of 48, so that the first row has no partner: it stays.
    """
    for axis in (1, 2):
        if torch.rand(()) < 0.5:
            first, rest = patches.narrow(axis, 0, 1), patches.narrow(axis, 1, SIZE - 1)
            patches = torch.cat([first, rest.flip(axis)], dim=axis)
    return patches


def loss(kind: Tensor, michel: Tensor, true_kind: Tensor, true_michel: Tensor, by_kind: Tensor) -> Tensor:
    """Cross entropies of the kind, each kind with the same weight in all, and of being a Michel electron's."""
    one = functional.binary_cross_entropy_with_logits(michel, true_michel)
    return functional.cross_entropy(kind, true_kind, by_kind) + one


@torch.no_grad()
def predict(network: nn.Module, patches: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scores of kinds [N, 3] and of Michel electrons [N]."""
    parts = [network(torch.from_numpy(patches[i : i + _BATCH])) for i in range(0, len(patches), _BATCH)]
    if not parts:
        return np.empty((0, len(KINDS)), np.float32), np.empty(0, np.float32)
    kind, michel = (torch.cat(columns).numpy() for columns in zip(*parts, strict=True))
    return kind, michel[:, 0]


def evaluate(
    network: nn.Module, events: int, seed: int, role: str, chamber: Chamber, progress: Progress
) -> dict[str, Any]:
    """Count what becomes of all hits of events of their own; see :func:`sonic.workloads.lartpc.performance.sums`."""
    total: Any = None
    for number in range(events):
        made, _ = _simulate(number, seed, role, chamber)
        for plane, image in enumerate(images(made.pixels, chamber)):
            mine = np.flatnonzero(made.hits.plane == plane)
            wire, at = made.hits.wire[mine], made.hits.sample[mine]
            kind, michel = predict(network, cut(image, wire, at))
            line = linearity.shape(image, wire, at)
            part = sums(made.kind[mine], made.michel[mine], kind, michel, line.straightness, line.kind())
            total = part if total is None else add(total, part)
        progress(role, number + 1, events)
    found: dict[str, Any] = total
    return found


def _simulate(number: int, seed: int, role: str, chamber: Chamber) -> tuple[Event, np.random.Generator]:
    # The role stands last and is not 0, which is what a seed without it has there: that is any other event.
    random = np.random.default_rng((seed, number, 1 + ("train", "tuning", "test").index(role)))
    return event(BEAM if role == "train" else Beam(), random, chamber), random
