"""Train DeepCalo to give the energies of simulated electrons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sonic.workloads.ecal.calibration import energies, sums
from sonic.workloads.ecal.geometry import CELL_ETA, ENERGIES_GEV
from sonic.workloads.ecal.images import draw
from sonic.workloads.ecal.simulation import electrons
from sonic.workloads.networks import deepcalo
from sonic.workloads.networks.deepcalo import DeepCalo, DeepCaloConfig
from sonic.workloads.resolution import resolution
from sonic.workloads.training.loop import Recipe, deterministic, fit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from sonic.workloads.ecal.simulation import Electrons
    from sonic.workloads.progress import Progress

UNIT_GEV = 50.0
"""Of the network's output while it is trained, so that its last layer has weights of order 1."""
REGIONS = {"0 to 0.8": (0.0, 0.8), "0.8 to 1.35": (0.8, 1.35)}
"""In abs(eta), of which figures are given: the material before the calorimeter grows."""
_QUOTED = 4
"""Bin of the energy that the one figure is of."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """What trains one of the two networks.

    Parameters
    ----------
    config : DeepCaloConfig
        At width 1.
    DEFAULTS : Recipe
    """

    config: DeepCaloConfig
    DEFAULTS: Recipe

    def train(self, recipe: Recipe, folder: Path, progress: Progress) -> tuple[DeepCalo, dict[str, Any]]:
        """Simulate electrons, train on them and test on others.

        Parameters
        ----------
        recipe : Recipe
            Resolved; its events are electrons.
        folder : Path
            For the checkpoint.
        progress : callable of (stage, done, total)

        Returns
        -------
        network : DeepCalo
            On the CPU, in evaluation mode.
        metrics : dict
            Numbers of electrons, losses, and bias and resolution on the test electrons by eta and energy, beside the
            window's.
        """
        made = electrons(recipe.events, seed=recipe.seed, progress=progress)
        x = torch.from_numpy(draw(made))
        y = torch.from_numpy(made.energy_gev.astype(np.float32))
        frozen: list[nn.Module] = []

        def loss_of(network: nn.Module, chosen: NDArray[np.int64]) -> Tensor:
            for norm in frozen:
                norm.eval()
            return loss(UNIT_GEV * network(x[chosen].to(recipe.device))[:, 0], y[chosen].to(recipe.device))

        with deterministic(recipe):
            network = DeepCalo(self.config.times(recipe.width))
            frozen += prepare(network, x[:1024])
            network = network.to(recipe.device)
            losses, seconds = fit(network, loss_of, len(y), recipe, folder / "checkpoint.pt", progress)
        network = network.cpu()
        with torch.no_grad():
            for parameter in network.head[-1].parameters():
                parameter.mul_(UNIT_GEV)
        test = max(100, recipe.events // 4)
        found = evaluate(network, electrons(test, seed=recipe.seed + 1_000_003, progress=progress))
        best = found["eta"]["0 to 0.8"]
        ours, window = (best[name]["resolution"][_QUOTED] for name in ("deepcalo", "window"))
        low, high = ENERGIES_GEV[_QUOTED : _QUOTED + 2]
        return network, found | {
            "figure": f"resolution {_percent(ours)} at {low:g}-{high:g} GeV (window {_percent(window)})",
            "data": f"{recipe.events} simulated electrons, {ENERGIES_GEV[0]:g} to {ENERGIES_GEV[-1]:g} GeV",
            "limits": "Knows no pile-up, no photons and no calorimeter but the simulated one. "
            "The window's sum, which is told eta, is the better one where its resolution is the smaller.",
            "train_electrons": len(y),
            "test_electrons": test,
            "losses": losses,
            "training_s": seconds,
        }


TINY = Trainer(
    deepcalo.TINY,
    Recipe(events=12_000, seed=1, epochs=24, batch=64, learning_rate=1.5e-3, width=1.0, device="auto", cores=1),
)
# The published size has 270 times as many weights: hours on a core.
FULL = Trainer(
    DeepCaloConfig(),
    Recipe(events=12_000, seed=1, epochs=8, batch=64, learning_rate=3e-3, width=0.25, device="auto", cores=0),
)


@torch.no_grad()
def prepare(network: DeepCalo, sample: Tensor) -> list[nn.Module]:
    """Set the normalisations to what they see of a sample, and return them; they are not to change any more.

    Statistics of a batch would shift all energies by some percent, for energies vary so much from image to image. The
    last normalisation is set so that what the dense layers see varies by 1.

    Parameters
    ----------
    network : DeepCalo
    sample : float32 tensor [n, 56, 11, 4]
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.train()
    network(sample)
    network.eval()
    seen: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(sample)
    hook.remove()
    last = norms[-1]
    spread = seen[0].reshape(len(sample), last.num_features, -1).std((0, 2))
    last.weight.div_(spread.nan_to_num(nan=1.0).clamp(min=1e-3))  # one number does not vary
    network.input_norm.requires_grad_(requires_grad=False)  # the first convolution can do what it could
    return list(norms)


def loss(found: Tensor, true: Tensor) -> Tensor:
    """Huber loss of what is missing, in units of what an energy can be known to: 0.3 GeV, 12 % and 1 %."""
    spread = torch.sqrt(0.3**2 + 0.12**2 * true + (0.01 * true) ** 2)
    return functional.huber_loss(found / spread, true / spread, delta=2.0)


@torch.no_grad()
def predict(network: nn.Module, drawn: NDArray[np.float32], batch: int = 250) -> NDArray[np.float64]:
    """Return the energies of images in GeV."""
    parts = [network(torch.from_numpy(drawn[i : i + batch])).numpy()[:, 0] for i in range(0, len(drawn), batch)]
    return np.concatenate(parts).astype(np.float64)


def evaluate(network: nn.Module, made: Electrons) -> dict[str, Any]:
    """Find bias and resolution, as lists by the bins of the true energy.

    Returns
    -------
    dict
        ``edges_gev``, and by ``eta`` and way ``bias`` and ``resolution``; None where there are few electrons.
    """
    drawn = draw(made)
    found = {
        "deepcalo": predict(network, drawn),
        "window": energies(sums(drawn), CELL_ETA * (made.ieta + 0.5)),
    }
    figures: dict[str, Any] = {}
    for region, (low, high) in REGIONS.items():
        inside = (np.abs(made.eta) >= low) & (np.abs(made.eta) < high)
        figures[region] = {}
        for name, values in found.items():
            got = resolution(made.energy_gev[inside], values[inside], ENERGIES_GEV)
            figures[region][name] = got.listed()
    return {"edges_gev": list(ENERGIES_GEV), "eta": figures}


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
