from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from sonic.errors import ConfigError  # noqa: E402
from sonic.workloads.training.loop import Recipe, deterministic, fit  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

RECIPE = Recipe(events=1, seed=5, epochs=4, batch=16, learning_rate=0.05, width=1, device="cpu", cores=1)
X = torch.linspace(-1, 1, 100).unsqueeze(1)
Y = 3 * X - 1


def run(folder: Path, recipe: Recipe = RECIPE, *, stop_at: int | None = None) -> tuple[torch.nn.Module, list[float]]:
    def progress(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("training", 6 * recipe.epochs)
        if done == stop_at:
            raise KeyboardInterrupt

    with deterministic(recipe):
        network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))

        def loss(net: torch.nn.Module, chosen: np.ndarray) -> torch.Tensor:
            return ((net(X[chosen]) - Y[chosen]) ** 2).mean()

        losses, seconds = fit(network, loss, len(X), recipe, folder / "checkpoint.pt", progress)
    assert seconds > 0
    return network, losses


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns_and_the_same_recipe_gives_the_same_weights(tmp_path: Path):
    (tmp_path / "b").mkdir()
    network, losses = run(tmp_path)
    again, same = run(tmp_path / "b")
    assert losses[-1] < losses[0] / 3
    assert losses == same
    assert equal(network, again)
    (tmp_path / "c").mkdir()
    assert not equal(network, run(tmp_path / "c", replace(RECIPE, seed=6))[0])


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path: Path):
    (tmp_path / "whole").mkdir()
    whole, losses = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=15)
    resumed, same = run(tmp_path)
    assert losses == same
    assert equal(whole, resumed)


def test_a_checkpoint_of_another_recipe_is_not_used(tmp_path: Path):
    (tmp_path / "fresh").mkdir()
    run(tmp_path, replace(RECIPE, learning_rate=0.01))
    assert equal(run(tmp_path)[0], run(tmp_path / "fresh")[0])


def test_nothing_to_train_on(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing to train on came of 1 events"):
        fit(torch.nn.Linear(1, 1), lambda *_: X.sum(), 0, RECIPE, tmp_path / "checkpoint.pt", lambda *_: None)


def test_settings_are_put_back():
    threads = torch.get_num_threads()
    with deterministic(replace(RECIPE, cores=3)):
        assert torch.get_num_threads() == 3
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_recipes_that_make_no_sense():
    resolved = replace(RECIPE, device="auto", cores=0).resolved()
    assert resolved.device in ("cpu", "cuda")
    assert resolved.cores > 0
    with pytest.raises(ConfigError, match="device 'tpu': one of auto, cpu, cuda"):
        replace(RECIPE, device="tpu").resolved()
    with pytest.raises(ConfigError, match="width must be positive, got -1"):
        replace(RECIPE, width=-1).resolved()
    for change, says in (
        ({"width": float("nan")}, "width must be positive, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive, got inf"),
        ({"seed": -1}, "seed must be zero or more, got -1"),
        ({"cores": -2}, "cores must be zero or more, got -2"),
    ):
        with pytest.raises(ConfigError, match=says):
            replace(RECIPE, **change).resolved()
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device cuda"):
            replace(RECIPE, device="cuda").resolved()
