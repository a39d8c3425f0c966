from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.features import met_inputs  # noqa: E402
from sonic.workloads.training import deepmet  # noqa: E402
from sonic.workloads.training.datasets import met_of  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    import awkward as ak

TINY = replace(deepmet.DEFAULTS, events=12, epochs=2, batch=4, device="cpu", cores=1)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_process")
def test_the_same_recipe_gives_the_same_weights_bit_for_bit(tmp_path: Path):
    network, metrics = deepmet.train(TINY, tmp_path, lambda *_: None)
    (tmp_path / "checkpoint.pt").unlink()
    again, same = deepmet.train(TINY, tmp_path, lambda *_: None)
    pairs = zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert metrics["met"] == same["met"]
    assert set(metrics["met"]) == {"deepmet", "plain_sum", "puppi"}
    assert metrics["train_events"] == 12


def test_batches_are_what_the_workflow_sends(generated: ak.Array):
    events = deepmet.Events(met_of(generated, np.random.default_rng(0)))
    chosen = np.array([3, 0, 7])
    batch = events.batch(chosen, "cpu")
    sent = met_inputs(generated[chosen])
    length = batch[0].shape[1]
    assert length == events.arrays["counts"][chosen].max()
    assert batch[0].numpy() == pytest.approx(sent["input"][:, :length], rel=2e-3, abs=1e-3)
    for i in range(3):
        assert np.array_equal(batch[1 + i].numpy(), sent[f"input_cat{i}"][:, :length])


def test_the_loss_is_least_for_the_truth_and_minds_the_response():
    true = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, -3.0]])
    assert deepmet.loss(true, true) == 0
    shrunk = deepmet.loss(0.9 * true, true)
    turned = deepmet.loss(true + 0.1 * true.flip(1), true)
    assert 0 < turned < shrunk
