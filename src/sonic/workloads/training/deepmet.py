"""Train DeepMET to give the missing transverse momentum of generated events."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from sonic.workloads.features import MET_SCALE_GEV
from sonic.workloads.figures import met_resolution, resolution_in_bins
from sonic.workloads.networks.deepmet import DeepMET, DeepMETConfig
from sonic.workloads.training.datasets import SEEN, by_role, make_blocks, met_of, mixture, plan
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sonic.workloads.progress import Progress
    from sonic.workloads.training.datasets import Arrays

DEFAULTS = Recipe(events=16_000, seed=1, epochs=12, batch=32, learning_rate=5e-3, width=1.0, device="auto", cores=0)
MET_EDGES_GEV = (20.0, 50.0, 100.0, 200.0, 400.0, 1000.0)


def train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[DeepMET, dict[str, Any]]:
    """Generate events, train on them and test on others.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    folder : Path
        For generated blocks and the checkpoint.
    progress : callable of (stage, done, total)

    Returns
    -------
    network : DeepMET
        On the CPU, in evaluation mode.
    metrics : dict
        Numbers of events, losses, and resolution, bias and response on the test events beside the plain sum and
        PUPPI.
    """
    blocks = plan(recipe.events, "met_share")
    files = make_blocks(blocks, met_of, recipe.seed, folder / "blocks", recipe.cores, progress)
    train_events, test_events = map(Events, by_role(blocks, files))
    truth = torch.from_numpy(train_events.arrays["true"] / np.float32(MET_SCALE_GEV))

    def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
        estimate = network(*train_events.batch(chosen, recipe.device))
        return loss(estimate, truth[chosen].to(recipe.device))

    with deterministic(recipe):
        network = DeepMET(DeepMETConfig().times(recipe.width)).to(recipe.device)
        losses, seconds = fit(network, loss_of, len(train_events), recipe, folder / "checkpoint.pt", progress)
        estimate = predict(network, test_events, recipe.device)
    both = (train_events, test_events)
    metrics = {
        "processes": mixture("met_share"),
        "train_events": len(train_events),
        "test_events": len(test_events),
        "losses": losses,
        "training_s": seconds,
        "generation_core_s": float(sum(events.arrays["seconds"].sum() for events in both)),
    }
    metrics |= evaluate(estimate, test_events.arrays)
    return network.cpu(), metrics | texts(metrics)


def texts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what the metrics say."""
    ours, plain = (metrics["met"][name]["width_gev"] for name in ("deepmet", "plain_sum"))
    return {
        "figure": f"resolution {ours:.1f} GeV (plain sum {plain:.1f})",
        "data": f"Events of Pythia {SEEN}: top quarks, QCD jets, W and Z with neutrinos; shares in metrics.json",
        "limits": "The detector is simple, and its PUPPI-like weights are not CMS's: these are not CMS's resolutions",
    }


def loss(estimate: Tensor, true: Tensor) -> Tensor:
    """Huber loss of the components, plus the mean deviation along the true direction in bins of its size.

    Without the second term the best estimate is one shrunk towards zero; DeepMET is trained against that the same
    way. All in units of :data:`MET_SCALE_GEV`.
    """
    total = functional.huber_loss(estimate, true, delta=0.5)
    size = torch.linalg.vector_norm(true, dim=1)
    deviation = (estimate * true).sum(1) / size.clamp(min=1e-6) - size
    edges = [edge / MET_SCALE_GEV for edge in MET_EDGES_GEV]
    for low, high in itertools.pairwise(edges):
        inside = ((size >= low) & (size < high)).to(total.dtype)
        mean = (deviation * inside).sum() / inside.sum().clamp(min=4.0)
        total = total + 0.05 * mean.abs()
    return total


class Events:
    """Candidates of many events, kept end to end and padded batch by batch.

    Parameters
    ----------
    arrays : dict of ndarray
        As :func:`sonic.workloads.training.datasets.met_of` makes them.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self._counts = arrays["counts"].astype(np.int64)
        self._first = np.cumsum(self._counts) - self._counts

    def __len__(self) -> int:
        return len(self._counts)

    def batch(self, chosen: NDArray[np.int64], device: str) -> list[Tensor]:
        """Build the network's inputs for some events, padded to the longest of them."""
        counts = self._counts[chosen]
        row = np.repeat(np.arange(len(chosen)), counts)
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        source = self._first[chosen][row] + place
        shape = (len(chosen), max(2, int(counts.max(initial=0))))
        inputs = np.zeros((*shape, self.arrays["input"].shape[1]), np.float32)
        inputs[row, place] = self.arrays["input"][source]
        categories = np.zeros((*shape, 3), np.int32)
        categories[row, place] = self.arrays["categories"][source]
        tensors = [torch.from_numpy(inputs)]
        tensors += [torch.from_numpy(np.ascontiguousarray(categories[:, :, i : i + 1])) for i in range(3)]
        return [tensor.to(device) for tensor in tensors]


@torch.no_grad()
def predict(network: nn.Module, events: Events, device: str, batch: int = 64) -> NDArray[np.float64]:
    """Missing momentum's components [N, 2], GeV, by a network in evaluation mode."""
    network.eval()
    indices = np.arange(len(events))
    parts = [
        network(*events.batch(indices[start : start + batch], device)).cpu().numpy()
        for start in range(0, len(events), batch)
    ]
    return np.concatenate(parts).astype(np.float64) * MET_SCALE_GEV


def evaluate(estimate: NDArray[np.float64], arrays: Arrays) -> dict[str, Any]:
    """Resolution, bias and response of each estimator on test events, overall and in bins of the truth."""
    estimators = {"deepmet": estimate, "plain_sum": arrays["plain"], "puppi": arrays["puppi"]}
    found: dict[str, Any] = {"met": {}, "met_in_gen_met_gev": {}}
    for name, values in estimators.items():
        found["met"][name] = met_resolution(values, arrays["true"])._asdict()
        widths, responses = resolution_in_bins(values, arrays["true"], MET_EDGES_GEV)
        found["met_in_gen_met_gev"][name] = {
            "edges": list(MET_EDGES_GEV),
            "width_gev": widths.tolist(),
            "response": responses.tolist(),
        }
    return found
