from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads import export  # noqa: E402
from sonic.workloads.networks.particlenet import ParticleNet  # noqa: E402
from sonic.workloads.networks.taggers import AK8  # noqa: E402
from sonic.workloads.truth import WIDE_CLASSES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    # In one block neighbours are chosen by the jets' own coordinates, so that rounding chooses no other.
    small = replace(AK8.times(0.1), edge_channels=((8, 8),))
    session = exported_alike("particlenet-ak8", ParticleNet(small))
    jets = export.example_inputs("particlenet-ak8", 3)
    for kind in ("pf", "sv"):
        jets[f"{kind}_mask"][1] = 0  # a jet of nothing
    (scores,) = session.run(None, jets)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


@torch.no_grad()
def test_the_ak8_tagger_at_a_quarter_of_its_width():
    network = export.random_network("particlenet-ak8", 0.25, 1)
    scores = network(*(torch.from_numpy(a) for a in export.example_inputs("particlenet-ak8", 4).values()))
    assert scores.shape == (4, len(WIDE_CLASSES)) == (4, 20)
    assert torch.allclose(scores.sum(1), torch.ones(4), atol=1e-5)
    assert len(set(WIDE_CLASSES)) == 20
