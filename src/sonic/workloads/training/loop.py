"""The training loop that the networks share: seeded, resumable, with progress."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sonic.errors import ConfigError
from sonic.limits import available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from sonic.workloads.progress import Progress


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training run is made of: the same recipe, versions and device give the same weights.

    Parameters
    ----------
    events : int
        Generated for training; further ones for the test come on top.
    seed : int
    epochs, batch : int
        Passes over the sample; jets or events of a step.
    learning_rate : float
        The highest, of a cycle that rises and falls once.
    width : float
        Scale of the network's channels; 1 is the published size.
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    cores : int
        Processes for generating and threads for training; the number of threads enters the rounding.
    """

    events: int
    seed: int
    epochs: int
    batch: int
    learning_rate: float
    width: float
    device: str
    cores: int

    def resolved(self) -> Recipe:
        """Put numbers in for ``auto`` and for no cores.

        Raises
        ------
        ConfigError
            If the device is unknown or absent, or a number is not positive and finite; seed and cores may be zero.
        """
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"device {self.device!r}: one of auto, cpu, cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device cuda: PyTorch sees no such device here")
        for name in ("events", "epochs", "batch", "learning_rate", "width"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("seed", "cores"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be zero or more, got {getattr(self, name)}")
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        cores = self.cores or available_cores()
        return Recipe(**asdict(self) | {"device": device, "cores": cores})


@contextlib.contextmanager
def deterministic(recipe: Recipe) -> Iterator[None]:
    """Seed PyTorch and make it reproducible; what it was is put back at the end."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    switches: Any = torch.utils.deterministic
    filled = switches.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(recipe.cores)
    torch.use_deterministic_algorithms(True)
    switches.fill_uninitialized_memory = False  # a check, at a sixth of the time
    torch.manual_seed(recipe.seed)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        switches.fill_uninitialized_memory = filled


def fit(
    network: nn.Module,
    loss_of: Callable[[nn.Module, np.ndarray], Tensor],
    size: int,
    recipe: Recipe,
    checkpoint: Path,
    progress: Progress,
) -> tuple[list[float], float]:
    """Train a network in place; return each epoch's mean loss, and the seconds it took.

    Parameters
    ----------
    network : nn.Module
    loss_of : callable of (network, indices)
        Loss, a scalar, of the samples of these indices.
    size : int
        Number of samples.
    recipe : Recipe
    checkpoint : Path
        Written after each epoch. If it is there and of the same recipe, training goes on from it.
    progress : callable of (stage, done, total)

    Raises
    ------
    ConfigError
        If there are no samples.
    """
    if not size:
        raise ConfigError(f"nothing to train on came of {recipe.events} events: give more")
    steps = max(1, size // recipe.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=steps * recipe.epochs + 1, pct_start=0.2
    )
    losses: list[float] = []
    seconds = 0.0
    state = _restore(checkpoint, recipe, size)
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["random_gpus"])
        losses, seconds = state["losses"], state["seconds"]
    network.train()
    for epoch in range(len(losses), recipe.epochs):
        order = np.random.default_rng([recipe.seed, 2, epoch]).permutation(size)
        total, started = 0.0, time.perf_counter()
        for step in range(steps):
            # A small sample may not fill a batch.
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(network, chosen)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            progress("training", epoch * steps + step + 1, recipe.epochs * steps)
        losses.append(total / steps)
        seconds += time.perf_counter() - started
        _store(
            checkpoint,
            {
                "recipe": asdict(recipe),
                "size": size,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "random": torch.get_rng_state(),
                "random_gpus": torch.cuda.get_rng_state_all(),
                "losses": losses,
                "seconds": seconds,
            },
        )
    network.eval()
    return losses, seconds


def _store(checkpoint: Path, state: dict[str, Any]) -> None:
    partial = checkpoint.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(checkpoint)


def _restore(checkpoint: Path, recipe: Recipe, size: int) -> dict[str, Any] | None:
    if not checkpoint.exists():
        return None
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    return state if state["recipe"] == asdict(recipe) and state["size"] == size else None
