"""Layers that the networks share."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

if TYPE_CHECKING:
    from torch import Tensor

Network = TypeVar("Network", bound=nn.Module)


class NormedLinear(nn.Module):
    """A linear layer followed by batch normalisation, on rows [R, inputs].

    For inference :meth:`fold` turns the two into one linear layer.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm: nn.Module = nn.BatchNorm1d(outputs, eps=eps)

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows [R, outputs]."""
        normed: Tensor = self.norm(self.linear(rows))
        return normed

    def fold(self) -> None:
        """Take the normalisation's running statistics into the linear layer."""
        if isinstance(self.norm, nn.BatchNorm1d):
            self.linear = fuse_linear_bn_eval(self.linear, self.norm)
            self.norm = nn.Identity()


class NormedInput(nn.Module):
    """Batch normalisation of the inputs, then a :class:`NormedLinear`, on rows [R, inputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.input_norm: nn.Module = nn.BatchNorm1d(inputs)
        self.layer = NormedLinear(inputs, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows [R, outputs]."""
        normed: Tensor = self.layer(self.input_norm(rows))
        return normed

    def fold(self) -> None:
        """Take the input's normalisation, too, into the linear layer."""
        self.layer.fold()
        norm = self.input_norm
        if not isinstance(norm, nn.BatchNorm1d) or norm.running_mean is None or norm.running_var is None:
            return
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        linear = self.layer.linear
        linear.bias = nn.Parameter(linear.bias + linear.weight @ shift)
        linear.weight = nn.Parameter(linear.weight * scale)
        self.input_norm = nn.Identity()


def folded(network: Network) -> Network:
    """Return a copy for inference, with every normalisation folded into its linear layer."""
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        for module in list(network.modules()):
            if isinstance(module, NormedInput | NormedLinear):
                module.fold()
    return network
