from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sonic.workloads.networks.layers import (  # noqa: E402
    NormedConv,
    NormedInput,
    NormedLinear,
    dense,
    folded,
    normalisation_count,
    parameter_count,
    scaled,
    shake,
    unless_finite,
)


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


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_takes_its_normalisation_in(bias: bool):
    torch.manual_seed(0)
    layer = NormedConv(3, 4, 3, stride=2, bias=bias)
    shake(layer)
    images = torch.randn(2, 3, 9, 9)
    whole = folded(layer.eval())
    assert torch.allclose(whole(images), layer(images), atol=1e-5)
    assert normalisation_count(whole) == 0
    assert normalisation_count(layer) == 16
    assert layer(images).shape == (2, 4, 5, 5)


def test_shaking_changes_what_normalisations_have_seen_and_nothing_else():
    torch.manual_seed(0)
    layer = NormedLinear(5, 3)
    before = layer.linear.weight.clone()
    shake(layer)
    assert torch.equal(layer.linear.weight, before)
    assert (layer.norm.running_mean != 0).all()
    assert ((layer.norm.running_var >= 0.5) & (layer.norm.running_var <= 1.5)).all()


def test_dense_layers():
    layers = dense((4, 3, 2), torch.nn.ReLU)
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU", "Linear"]
    assert len(dense((4, 3, 2), torch.nn.ReLU, last=True)) == 4
    assert parameter_count(layers) == 4 * 3 + 3 + 3 * 2 + 2
    assert [scaled(10, width) for width in (1, 0.25, 0.01)] == [10, 2, 2]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_rows_that_are_not_finite_give_nan(bad: float):
    inputs, outputs = torch.ones(3, 2, 2), torch.ones(3, 4)
    inputs[1, 0, 1] = bad
    found = unless_finite(outputs, inputs)
    assert found.isnan().all(dim=1).tolist() == [False, True, False]
    assert torch.equal(found[::2], outputs[::2])
