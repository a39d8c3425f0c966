from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

import torch

from sonic.workloads.hgcal.features import inputs
from sonic.workloads.hgcal.matching import MIN_HITS
from sonic.workloads.training.gravnet import DEFAULTS, features, loss, simulate, targets, train

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.workloads.networks.gravnet import GravNet

TINY = replace(DEFAULTS, events=3, epochs=2, batch=1, width=0.1, device="cpu", cores=1)


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GravNet, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gravnet")
    return folder, *train(TINY, folder, quiet)


def test_training_says_what_it_reached(trained: tuple[Path, GravNet, dict[str, Any]]):
    _, network, metrics = trained
    assert not network.training
    assert (metrics["train_events"], metrics["test_events"]) == (3, 1)
    assert set(metrics["showers"]) == {"gravnet", "density", "truth"}
    assert metrics["showers"]["truth"]["efficiency"] == 1
    assert {"figure", "data", "limits"} <= set(metrics)


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(trained: tuple[Path, GravNet, dict[str, Any]]):
    folder, network, metrics = trained
    calls = 0

    def stop(stage: str, *_: int) -> None:
        nonlocal calls
        calls += stage == "training"
        if calls == 5:  # in the second epoch
            raise KeyboardInterrupt

    (folder / "checkpoint.pt").unlink()
    with pytest.raises(KeyboardInterrupt):
        train(TINY, folder, stop)
    again, known = train(TINY, folder, quiet)
    assert known["losses"] == metrics["losses"]
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_is_trained_on_is_what_the_workflow_sends():
    (made,) = simulate(1, 1, "train", quiet)
    assert np.array_equal(features(made), inputs(made.hits))
    showers = targets(made)
    assert showers.sum(axis=1).max() == 1
    assert showers.sum(axis=0).min() >= MIN_HITS
    (other,) = simulate(1, 1, "test", quiet)
    assert len(other) != len(made)


def test_the_loss_is_less_the_better_the_showers_condense():
    showers = torch.zeros(8, 2)
    showers[:3, 0], showers[3:6, 1] = 1, 1  # the last two are noise
    apart = torch.tensor([[0.0, 0, 0]] * 3 + [[5.0, 0, 0]] * 3 + [[2.0, 2, 2]] * 2)
    points = torch.tensor([4.0, -4, -4, 4, -4, -4, -4, -4])
    good = loss(points, apart, showers)
    assert good < loss(points, torch.zeros(8, 3), showers), "all in one place"
    strewn = apart + torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    assert good < loss(points, strewn, showers), "strewn about"
    assert good < loss(torch.full((8,), -4.0), apart, showers), "no points"
    assert good < loss(points + 8 * (showers.sum(1) == 0), apart, showers), "noise as points"


def test_noise_alone_has_a_loss_that_can_be_learned_from():
    logit = torch.zeros(3, requires_grad=True)
    loss(logit, torch.zeros(3, 3), torch.zeros(3, 0)).backward()
    assert (logit.grad > 0).all()


def test_the_gradient_is_finite_where_points_meet_themselves():
    logit, places = torch.full((4,), 20.0, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    loss(logit, places, torch.eye(4)[:, :2]).backward()
    assert torch.isfinite(places.grad).all()
    assert torch.isfinite(logit.grad).all()
