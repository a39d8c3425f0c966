from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.networks.layers import NormedInput, NormedLinear, folded  # noqa: E402


@pytest.mark.parametrize("layer", [NormedLinear(5, 3), NormedLinear(5, 3, bias=True), NormedInput(5, 3)])
def test_folding_changes_nothing_but_the_layers(layer: torch.nn.Module):
    torch.manual_seed(0)
    for _ in range(20):
        layer(3 * torch.randn(64, 5) + 2)
    layer.eval()
    rows = torch.randn(10, 5)
    whole = folded(layer)
    assert torch.allclose(whole(rows), layer(rows), atol=1e-5)
    assert not [m for m in whole.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert [m for m in layer.modules() if isinstance(m, torch.nn.BatchNorm1d)], "the original stays"
