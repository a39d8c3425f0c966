from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from sonic.workloads.lartpc.chamber import Chamber
from sonic.workloads.lartpc.patches import HALF, SIZE, cut, images
from sonic.workloads.training.emtrackmichel import DEFAULTS, _simulate, evaluate, loss, mirrored, predict, sample, train

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SMALL = Chamber(drift_mm=500.0, height_mm=500.0, width_mm=400.0)
TINY = replace(DEFAULTS, events=2, epochs=2, batch=64, width=0.05, device="cpu", cores=1)


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("emtrackmichel")
    return folder, *train(TINY, folder, quiet, SMALL)


def test_training_learns_and_says_what_it_reached(trained: tuple[Path, nn.Module, dict[str, Any]]) -> None:
    _, network, metrics = trained
    assert not network.training
    assert metrics["losses"][1] < metrics["losses"][0]
    assert metrics["train_hits"] > 100
    assert metrics["test_hits"] == np.sum(metrics["confusion"]) == np.sum(metrics["confusion_straightness"])
    assert {"AUC track", "AUC em", "efficiency track, straightness"} <= metrics["figures"].keys()
    assert 0 <= metrics["michel_cut"] <= 1


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(
    trained: tuple[Path, nn.Module, dict[str, Any]],
) -> None:
    folder, network, metrics = trained
    again, known = train(TINY, folder, quiet, SMALL)
    assert known == metrics
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_is_trained_on_is_cut_as_in_the_job() -> None:
    patches, kinds, michel = sample(replace(TINY, events=1), SMALL, quiet)
    assert patches.shape == (len(kinds), SIZE, SIZE, 1)
    assert patches.dtype == michel.dtype == np.float32
    assert set(kinds) <= {0, 1, 2}
    made, _ = _simulate(0, TINY.seed, "train", SMALL)
    whole = [
        cut(image, made.hits.wire[made.hits.plane == plane], made.hits.sample[made.hits.plane == plane])
        for plane, image in enumerate(images(made.pixels, SMALL))
    ]
    known = {patch.tobytes() for patch in np.concatenate(whole)}
    assert all(patch.tobytes() in known for patch in patches)


def test_events_to_train_on_and_to_test_on_are_others() -> None:
    made = [_simulate(0, 1, role, SMALL)[0].hits.charge_ke for role in ("train", "tuning", "test")]
    assert len({charge.tobytes() for charge in made}) == 3


def test_a_mirrored_patch_keeps_its_hit_in_the_middle() -> None:
    patches = torch.zeros(1, SIZE, SIZE, 1)
    patches[0, HALF, HALF], patches[0, HALF + 5, HALF + 2] = 1.0, 2.0
    torch.manual_seed(1)
    seen = set()
    for _ in range(40):
        found = mirrored(patches)
        assert found[0, HALF, HALF] == 1
        seen.add(tuple((found[0, ..., 0] == 2).nonzero()[0].tolist()))
    assert seen == {(HALF + u, HALF + v) for u in (-5, 5) for v in (-2, 2)}


def test_the_loss_is_least_for_the_truth() -> None:
    kind, michel = torch.tensor([0, 1, 2]), torch.tensor([0.0, 1.0, 0.0])
    right, even = 20 * torch.eye(3), torch.ones(3)
    sure = 20 * (michel - 0.5)
    assert loss(right, sure, kind, michel, even) < 1e-3
    assert loss(right.roll(1, 0), sure, kind, michel, even) > 10
    missed, invented = (loss(right, 20 * (wrong - 0.5), kind, michel, even) for wrong in (0 * michel, michel.roll(1)))
    assert missed > 3
    assert invented > missed


def test_an_event_without_hits_on_a_plane_is_evaluated(trained: tuple[Path, nn.Module, dict[str, Any]]) -> None:
    kind, michel = predict(trained[1], np.empty((0, SIZE, SIZE, 1), np.float32))
    assert kind.shape == (0, 3)
    assert michel.shape == (0,)
    total = evaluate(trained[1], 1, 5, "test", SMALL, quiet)
    assert total["network"].sum() > 0
