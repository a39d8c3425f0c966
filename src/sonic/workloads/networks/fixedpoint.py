"""Dense networks in the fixed-point numbers of FPGAs.

Inputs, weights, biases and the result of each layer are ``ap_fixed<16,6>``: 16 bits, 6 of them before the point with
the sign, what is smaller cut off, what is larger wrapped around, as hls4ml has them unless told otherwise. Sums are
exact: in float64 no product of two such numbers and no sum of them is rounded, so that the bits of a result depend on
no order, no backend and no batch. Firmware whose accumulators are narrower gives other bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

TOTAL_BITS, INTEGER_BITS = 16, 6


def fixed(numbers: Tensor) -> Tensor:
    """Return float64 numbers as ``ap_fixed<16,6>`` has them; NaN for what is not finite."""
    step, span = 2.0 ** (INTEGER_BITS - TOTAL_BITS), 2.0**TOTAL_BITS
    count = torch.floor(numbers / step)
    return (count - span * torch.floor((count + span / 2) / span)) * step


class FixedPoint(nn.Module):
    """A dense network in fixed point.

    Parameters
    ----------
    layers : nn.Sequential
        Of linear layers, ReLUs, and normalisations, each before a linear layer, into which it is taken.

    Raises
    ------
    ConfigError
        If there is another layer among them.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        modules = list(layers.children())
        for layer, following in zip(modules, [*modules[1:], None], strict=True):
            known = isinstance(layer, nn.Linear | nn.ReLU)
            if not known and not (isinstance(layer, nn.BatchNorm1d) and isinstance(following, nn.Linear)):
                raise ConfigError(f"layer {layer}: expected Linear, ReLU, or BatchNorm1d before Linear")
        self.layers = layers

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the published name
        """Return rows [N, outputs] float32, of inputs [N, inputs] float32."""
        rows = fixed(input.double())
        one = torch.ones(1, dtype=rows.dtype, device=rows.device)
        none = torch.zeros_like(one)
        scale, shift = one, none
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm1d):
                scale, shift = _affine(layer)
            elif isinstance(layer, nn.Linear):
                weight = layer.weight.double()
                bias = layer.bias.double() + (weight * shift).sum(1)
                rows = fixed(functional.linear(rows, fixed(weight * scale), fixed(bias)))
                scale, shift = one, none
            else:
                rows = torch.relu(rows)
        return rows.float()


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation, float64."""
    if norm.running_mean is None or norm.running_var is None:
        raise ConfigError("a normalisation without statistics has no fixed scale")
    scale = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    return scale, shift
