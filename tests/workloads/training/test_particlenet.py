from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.training import particlenet  # noqa: E402
from sonic.workloads.truth import CLASSES  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(particlenet.DEFAULTS, events=16, epochs=2, batch=16, width=0.1, device="cpu", cores=1)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("one_process")
def test_the_same_recipe_gives_the_same_weights_bit_for_bit(work: Path):
    reports: list[str] = []
    network, metrics = particlenet.train(TINY, work, lambda stage, *_: reports.append(stage))
    (work / "checkpoint.pt").unlink()
    again, same = particlenet.train(TINY, work, lambda *_: None)
    pairs = zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert metrics["auc"] == pytest.approx(same["auc"], nan_ok=True)
    assert metrics["losses"] == same["losses"]
    assert {*reports} == {"events", "training"}
    assert sum(metrics["train_jets_by_class"].values()) == metrics["train_jets"] > 20
    assert not network.training


def test_figures_of_perfect_scores():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 500)
    jets = {"label": labels, "pt": rng.uniform(15, 500, 500)}
    found = particlenet.evaluate(np.eye(8, dtype=np.float32)[labels], jets)
    assert found["auc"] == dict.fromkeys(found["auc"], 1.0)
    assert found["b_efficiency_above_30_gev_at_light_mistag"]["0.01"] == 1.0
    assert found["b_cut_at_light_mistag"]["0.1"] < 0.5
    noise = particlenet.evaluate(rng.dirichlet(np.ones(len(CLASSES)), 500).astype(np.float32), jets)
    assert noise["auc"]["b_vs_light"] == pytest.approx(0.5, abs=0.1)


def test_figures_without_light_jets_above_30_gev():
    labels = np.array([CLASSES.index("b"), CLASSES.index("uds")] * 5)
    soft = {"label": labels, "pt": np.where(labels == 0, 100.0, 20.0)}
    found = particlenet.evaluate(np.eye(8, dtype=np.float32)[labels], soft)
    assert found["auc"]["b_vs_light"] == 1.0
    assert np.isnan(found["auc"]["b_vs_light_above_30_gev"])
    assert found["b_cut_at_light_mistag"] == {"0.1": 1.0, "0.01": 1.0, "0.001": 1.0}
