from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.training import datasets, particlenet_ak8  # noqa: E402
from sonic.workloads.truth import WIDE_CLASSES  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(particlenet_ak8.DEFAULTS, events=8, epochs=2, batch=8, width=0.1, device="cpu", cores=1)


@pytest.mark.timeout(300)
def test_a_tiny_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    from sonic.workloads.simulation.processes import find

    monkeypatch.setattr(datasets, "PROCESSES", (find("tt_high"),))
    reports: list[str] = []
    network, metrics = particlenet_ak8.train(TINY, tmp_path, lambda stage, *_: reports.append(stage))
    assert {*reports} == {"events", "training"}
    assert sum(metrics["train_jets_by_class"].values()) == metrics["train_jets"] >= 6
    assert len(metrics["losses"]) == 2
    assert np.isfinite(metrics["losses"]).all()
    assert {"figure", "data", "limits"} <= metrics.keys()
    assert not network.training


def test_figures_of_perfect_scores():
    labels = np.arange(400) % len(WIDE_CLASSES)
    jets = {"label": labels, "mass": np.full(400, 100.0), "pt": np.linspace(200, 700, 400)}
    found = particlenet_ak8.evaluate(np.eye(len(WIDE_CLASSES), dtype=np.float32)[labels], jets)
    assert found["auc_against_qcd"] == dict.fromkeys(("top", "w", "z", "higgs", "hbb"), 1.0)
    assert found["auc_against_qcd_300_to_600_gev"] == found["auc_against_qcd"]
    assert found["efficiency_at_mistag_0.01"]["top"] == pytest.approx(1.0)
    assert found["auc_against_qcd_by_mass_alone"]["top"] == pytest.approx(0.5)
    assert found["accuracy"] == 1.0
