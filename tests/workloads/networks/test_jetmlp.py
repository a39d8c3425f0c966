from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import sonic  # noqa: E402
from sonic.protocol.digests import survey  # noqa: E402
from sonic.workloads import export, zoo  # noqa: E402
from sonic.workloads.networks.jetmlp import CLASSES, JetMLP  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


@torch.no_grad()
def test_outputs_are_probabilities_and_logits_in_training():
    torch.manual_seed(0)
    network, jets = JetMLP(), torch.randn(6, 16)
    logits = network.train()(jets)
    scores = network.eval()(jets)
    assert scores.shape == (6, 5)
    assert torch.allclose(torch.softmax(logits, dim=1), scores)


def test_served_as_torchscript_with_labels(tmp_path: Path):
    folder = zoo.build("jet-mlp", tmp_path, weights="random", seed=5, format="torchscript")
    assert [(row.path, row.state) for row in survey(folder)] == [("1/model.pt", "ok")]
    assert (folder / "softmax.labels.txt").read_text().split() == list(CLASSES)
    jets = export.example_inputs("jet-mlp", 3)["input"]
    with torch.no_grad():
        expected = export.random_network("jet-mlp", 1.0, 5)(torch.from_numpy(jets)).numpy()
    with sonic.serve(tmp_path) as server, sonic.Model(f"{server.grpc_url}/jet-mlp") as model:
        assert np.allclose(model(input=jets)["softmax__0"], expected, rtol=1e-5)
        assert model(input=jets[:0])["softmax__0"].shape == (0, 5)
