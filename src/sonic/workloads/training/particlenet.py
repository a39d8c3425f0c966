"""Train ParticleNet to tell the flavour of generated jets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from sonic.workloads.figures import auc, roc
from sonic.workloads.networks.particlenet import ParticleNet, ParticleNetConfig
from sonic.workloads.training.datasets import SEEN, by_role, jets_of, make_blocks, mixture, plan
from sonic.workloads.training.loop import Recipe, deterministic, fit
from sonic.workloads.truth import CLASSES, discriminants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.progress import Progress
    from sonic.workloads.training.datasets import Arrays, Maker

INPUTS = ("pf_points", "pf_features", "pf_mask", "sv_points", "sv_features", "sv_mask")
DEFAULTS = Recipe(events=48_000, seed=1, epochs=6, batch=256, learning_rate=4e-3, width=1.0, device="auto", cores=0)
_PT_EDGES_GEV = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3000.0)


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[ParticleNet, dict[str, Any]]:
    """Generate jets, train on them and test on others.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    folder : Path
        For generated blocks and the checkpoint.
    progress : callable of (stage, done, total)

    Returns
    -------
    network : ParticleNet
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of jets, losses, areas under ROC curves on the test jets, overall and in bins of pT.
    """
    config = ParticleNetConfig().times(recipe.width)
    taught = teach(config, jets_of, "tagger_share", CLASSES, recipe, folder, progress)
    metrics = taught.metrics | evaluate(taught.scores, taught.test)
    return taught.network, metrics | texts(metrics)


class Taught(NamedTuple):
    """A network that was trained, on the CPU; its scores [N, classes] of the test's jets; numbers of the training."""

    network: ParticleNet
    scores: NDArray[np.float32]
    test: Arrays
    metrics: dict[str, Any]


def teach(
    config: ParticleNetConfig,
    maker: Maker,
    share: str,
    classes: Sequence[str],
    recipe: Recipe,
    folder: Path,
    progress: Progress,
    batch: int = 500,
) -> Taught:
    """Generate jets of a kind, and train a network to tell their classes.

    Parameters
    ----------
    config : ParticleNetConfig
    maker : callable
        Takes the jets of events; see :func:`~sonic.workloads.training.datasets.make_blocks`.
    share : str
        Of processes, by which events are divided among them.
    classes : sequence of str
        Of ``label``.
    recipe, folder, progress
        As for :func:`train`.
    batch : int
        Test jets at a time.
    """
    fewest = config.neighbours + 1
    blocks = plan(recipe.events, share)
    files = make_blocks(blocks, maker, recipe.seed, folder / "blocks", recipe.cores, progress)
    jets, test = by_role(blocks, files)
    labels = torch.from_numpy(jets["label"].astype(np.int64))

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        logits = network(*batch_of(jets, chosen, recipe.device, fewest))
        return functional.cross_entropy(logits, labels[chosen].to(recipe.device))

    with deterministic(recipe):
        network = ParticleNet(config).to(recipe.device)
        losses, seconds = fit(network, loss_of, len(labels), recipe, folder / "checkpoint.pt", progress)
        scores = predict(network, test, recipe.device, batch, fewest)
    counts = np.bincount(jets["label"], minlength=len(classes)).tolist()
    metrics = {
        "processes": mixture(share),
        "train_jets": len(labels),
        "test_jets": len(scores),
        "train_jets_by_class": dict(zip(classes, counts, strict=True)),
        "losses": losses,
        "training_s": seconds,
        "generation_core_s": float(jets["seconds"].sum() + test["seconds"].sum()),
    }
    return Taught(network.cpu(), scores, test, metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what the metrics say."""
    return {
        "figure": f"AUC b vs light {metrics['auc']['b_vs_light']:.3f}",
        "data": f"Jets of events of Pythia {SEEN}: top quarks, QCD, b and c quarks; shares in metrics.json",
        "limits": "The detector is simple: of 35 light jets of CMS above a TeV 4 pass the cut that one in a hundred is "
        "to pass",
    }


def batch_of(jets: Arrays, chosen: Any, device: str, fewest: int = 9) -> list[Tensor]:
    """Build the inputs of some jets, cut to the longest of them: padding changes nothing but the time.

    Parameters
    ----------
    jets : dict of ndarray
        As :mod:`sonic.workloads.training.datasets` makes them.
    chosen : index
    device : str
    fewest : int
        Places for particles that are left in any case: more than the network looks for neighbours.
    """
    particles = max(fewest, int(jets["pf_mask"][chosen].sum(axis=(1, 2)).max(initial=0)))
    cut = {"pf": particles, "sv": jets["sv_mask"].shape[2]}
    return [
        torch.from_numpy(jets[name][chosen][:, :, : cut[name[:2]]].astype(np.float32)).to(device) for name in INPUTS
    ]


@torch.no_grad()
def predict(network: ParticleNet, jets: Arrays, device: str, batch: int = 500, fewest: int = 9) -> NDArray[np.float32]:
    """Probabilities [N, classes] of jets, by a network in evaluation mode."""
    network.eval()
    parts = [
        network(*batch_of(jets, slice(start, start + batch), device, fewest)).cpu().numpy()
        for start in range(0, len(jets["label"]), batch)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, network.config.classes), np.float32)


def evaluate(scores: NDArray[np.float32], jets: Arrays) -> dict[str, Any]:
    """Areas under the ROC curves of test jets, and working points of the b discriminant."""
    d = discriminants(scores)
    name = np.array(CLASSES)[jets["label"]]
    b, c, light = np.isin(name, ("b", "bb")), np.isin(name, ("c", "cc")), np.isin(name, ("uds", "g"))
    hard = jets["pt"] > 30.0
    in_pt = {}
    for low, high in itertools.pairwise(_PT_EDGES_GEV):
        inside = (jets["pt"] >= low) & (jets["pt"] < high)
        in_pt[f"{low:g}-{high:g}"] = {
            "b_vs_light": auc(d["b"][b & inside], d["b"][light & inside]),
            "c_vs_light": auc(d["cvl"][c & inside], d["cvl"][light & inside]),
            "jets": int(inside.sum()),
        }
    points = (0.1, 0.01, 0.001)
    at_light = d["b"][light & hard]
    efficiency, mistag = roc(d["b"][b & hard], at_light)
    cuts = np.quantile(at_light, [1.0 - point for point in points]) if len(at_light) else [1.0] * len(points)
    return {
        "auc": {
            "b_vs_light": auc(d["b"][b], d["b"][light]),
            "b_vs_c": auc(d["b"][b], d["b"][c]),
            "c_vs_light": auc(d["cvl"][c], d["cvl"][light]),
            "c_vs_b": auc(d["cvb"][c], d["cvb"][b]),
            "b_vs_light_above_30_gev": auc(d["b"][b & hard], at_light),
        },
        "auc_in_pt_gev": in_pt,
        "b_efficiency_above_30_gev_at_light_mistag": {
            f"{point:g}": float(np.interp(point, mistag, efficiency)) for point in points
        },
        "b_cut_at_light_mistag": {f"{point:g}": float(cut) for point, cut in zip(points, cuts, strict=True)},
    }
