"""Train ResNet-50 to tell top quarks from quarks and gluons in images of generated jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from torch.nn import functional

from sonic.errors import ConfigError
from sonic.workloads.figures import auc, roc
from sonic.workloads.networks.resnet50 import CLASSES, ResNet, ResNetConfig
from sonic.workloads.simulation.processes import find
from sonic.workloads.toptag.images import Constituents, constituents, images
from sonic.workloads.toptag.sample import QCD, TOP
from sonic.workloads.toptag.substructure import score, substructure
from sonic.workloads.toptag.workflow import MAX_ETA, PT_GEV, truth
from sonic.workloads.training.datasets import Block, by_role, make_blocks
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.progress import Progress
    from sonic.workloads.training.datasets import Arrays

# A sixteenth of the published width, which on a core takes hours for an epoch.
DEFAULTS = Recipe(events=2000, seed=1, epochs=8, batch=32, learning_rate=3e-3, width=1 / 16, device="auto", cores=0)
_LEAST_WIDTH = 1 / 16
TOP_SHARE = 0.7
"""Of events that are pairs of top quarks; about as many jets of either kind come of it."""
BLOCK_EVENTS = 150
_PARTICLE = ("pt", "eta", "phi", "charged")


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[ResNet, dict[str, Any]]:
    """Generate jets, train on their images and test on others.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    folder : Path
        For generated blocks and the checkpoint.
    progress : callable of (stage, done, total)

    Returns
    -------
    network : ResNet
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of jets, losses, and areas under ROC curves on the test jets, beside the ordinary tagger's.

    Raises
    ------
    ConfigError
        If the width is less than a sixteenth: PyTorch's convolutions of two channels can crash when they are trained.
    """
    if recipe.width < _LEAST_WIDTH:
        raise ConfigError(f"resnet50 can be trained from width {_LEAST_WIDTH} on, got {recipe.width}")
    blocks = plan(recipe.events)
    files = make_blocks(blocks, jets_of, recipe.seed, folder / "blocks", recipe.cores, progress)
    train_jets, test_jets = by_role(blocks, files)
    starts = np.cumsum(train_jets["counts"]) - train_jets["counts"]
    labels = torch.from_numpy(CLASSES.index("qcd") - train_jets["label"].astype(np.int64))

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        x = torch.from_numpy(images(_some(train_jets, starts, chosen))).to(recipe.device)
        return functional.cross_entropy(network(x), labels[chosen].to(recipe.device))

    with deterministic(recipe):
        network = ResNet(ResNetConfig().times(recipe.width)).to(recipe.device)
        losses, seconds = fit(network, loss_of, len(labels), recipe, folder / "checkpoint.pt", progress)
        scores = predict(network, test_jets, recipe.device)
    found = evaluate(scores, test_jets)
    top = int((train_jets["label"] == 1).sum())
    reached, ordinary = (found["auc"][name] for name in ("resnet50", "mass_and_tau32"))
    return network.cpu(), found | {
        "figure": f"AUC top vs QCD {reached:.3f} (mass and tau32 {ordinary:.3f})",
        "data": f"images of {top} jets with a top quark's decay and {len(labels) - top} of quarks and gluons, "
        f"{PT_GEV[0]:g} to {PT_GEV[1]:g} GeV, with pile-up",
        "limits": "A sixteenth of ResNet-50's width, and few jets: no match for a tagger trained on a million. "
        "Where mass and tau32 reach more, they are the better tagger.",
        "train_jets": len(labels),
        "train_top_jets": top,
        "test_jets": len(scores),
        "losses": losses,
        "training_s": seconds,
        "generation_core_s": float(train_jets["seconds"].sum() + test_jets["seconds"].sum()),
        "processes": {TOP: TOP_SHARE, QCD: round(1 - TOP_SHARE, 3)},
    }


def plan(events: int) -> tuple[Block, ...]:
    """Divide a number of events among both processes, and a third as many again for the test."""
    blocks = []
    for process, share in ((TOP, TOP_SHARE), (QCD, 1 - TOP_SHARE)):
        number = 0
        for role, part in (("train", 1.0), ("test", 1 / 3)):
            left = max(1, round(events * share * part))
            while left > 0:
                blocks.append(Block(find(process), number, min(left, BLOCK_EVENTS), role))
                left -= BLOCK_EVENTS
                number += 1
    return tuple(blocks)


def jets_of(events: ak.Array, rng: np.random.Generator) -> Arrays:  # noqa: ARG001 - as every maker
    """Take the wide jets that are known to be of either kind, in the range of momenta: particles, and substructure.

    Returns
    -------
    dict of array
        ``label`` [jets], 1 for a top quark; ``counts`` [jets] and ``pt``, ``eta``, ``phi``, ``charged`` [particles] as
        of :class:`~sonic.workloads.toptag.images.Constituents`; ``mass_gev``, ``tau2``, ``tau3`` [jets].
    """
    label, pt, eta = (np.asarray(ak.flatten(events[f"FatJet_{name}"])) for name in ("truthClass", "pt", "eta"))
    label = truth(label)
    kept = (label >= 0) & (pt > PT_GEV[0]) & (pt < PT_GEV[1]) & (np.abs(eta) < MAX_ETA)
    particles = constituents(events, kept)
    groomed = substructure(particles, eta[kept].astype(np.float64))
    arrays = {name: values.astype(np.float32) for name, values in zip(_PARTICLE, particles[1:], strict=True)}
    arrays |= {name: getattr(groomed, name).astype(np.float32) for name in ("mass_gev", "tau2", "tau3")}
    return {**arrays, "label": label[kept].astype(np.int8), "counts": particles.counts}


def _some(jets: Arrays, starts: NDArray[np.int64], chosen: NDArray[np.int64]) -> Constituents:
    counts = jets["counts"][chosen]
    places = np.repeat(starts[chosen] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    pt, eta, phi, charged = (jets[name][places] for name in _PARTICLE)
    return Constituents(counts, pt.astype(np.float64), eta.astype(np.float64), phi.astype(np.float64), charged > 0)


@torch.no_grad()
def predict(network: nn.Module, jets: Arrays, device: str, batch: int = 50) -> NDArray[np.float32]:
    """Probabilities [N] of a top quark, by a network in evaluation mode."""
    network.eval()
    starts = np.cumsum(jets["counts"]) - jets["counts"]
    parts = [np.zeros(0, np.float32)]
    for first in range(0, len(jets["counts"]), batch):
        chosen = np.arange(first, min(first + batch, len(jets["counts"])))
        drawn = torch.from_numpy(images(_some(jets, starts, chosen))).to(device)
        parts.append(network(drawn)[:, CLASSES.index("top")].cpu().numpy())
    return np.concatenate(parts)


def evaluate(scores: NDArray[np.float32], jets: Arrays) -> dict[str, Any]:
    """Areas under the ROC curves of test jets, and how many others pass where half of the top quarks do."""
    top = jets["label"] == 1
    ways: dict[str, NDArray[Any]] = {
        "resnet50": scores,
        "mass_and_tau32": score(jets["mass_gev"], jets["tau2"], jets["tau3"]),
    }
    areas, mistag = {}, {}
    for name, values in ways.items():
        efficiency, passed = roc(values[top], values[~top])
        areas[name] = auc(values[top], values[~top])
        mistag[name] = float(np.interp(0.5, efficiency, passed))
    return {"auc": areas, "mistag_at_half_efficiency": mistag, "test_top_jets": int(top.sum())}
