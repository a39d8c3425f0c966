from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs  # noqa: E402
from sonic.workloads.networks.catalogue import blueprint  # noqa: E402
from sonic.workloads.networks.emtrackmichel import EmTrackMichel  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    session = exported_alike("emtrackmichel", EmTrackMichel(2, (8, 4)), rows=(1, 2, 235))
    patches = example_inputs("emtrackmichel", 3)["main_input"]
    patches[1, 47, 0] = np.nan
    kinds, michel = session.run(None, {"main_input": patches})
    for scores in (kinds, michel):
        assert np.isnan(scores).any(axis=1).tolist() == [False, True, False]


@torch.no_grad()
def test_kinds_exclude_each_other_and_a_michel_electron_is_beside_them():
    torch.manual_seed(0)
    network, patches = EmTrackMichel(2, (8, 4)), torch.randn(5, 48, 48, 1)
    kinds, michel = network.eval()(patches)
    assert torch.allclose(kinds.sum(1), torch.ones(5))
    assert michel.shape == (5, 1)
    assert ((michel > 0) & (michel < 1)).all()
    logits = network.train()(patches)
    assert torch.allclose(torch.sigmoid(logits[1]), michel)


def test_a_narrow_network_keeps_what_all_scores_are_made_of():
    narrow = blueprint("emtrackmichel").make(0.05)
    assert narrow.conv.out_channels == 2
    assert narrow.kind.in_features == narrow.michel.in_features == 32
