"""Layers that the networks share."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

Network = TypeVar("Network", bound=nn.Module)


class NormedLinear(nn.Module):
    """A linear layer followed by batch normalisation, on rows [R, inputs].

    For inference :meth:`fold` turns the two into one linear layer.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm: nn.Module = nn.BatchNorm1d(outputs)

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


class NormedConv(nn.Module):
    """A convolution followed by batch normalisation, on images [N, inputs, H, W].

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : int
        Of the kernel's sides.
    stride : int
    padding : int, optional
        Half the kernel unless given: with a stride of 1 the image keeps its size.
    bias : bool
        Whether the convolution has its own beside the normalisation's.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        around = size // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=around, bias=bias)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return images [N, outputs, H, W]."""
        normed: Tensor = self.norm(self.conv(images))
        return normed

    def fold(self) -> None:
        """Take the normalisation's running statistics into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def dense(sizes: Sequence[int], activation: Callable[[], nn.Module], *, last: bool = False) -> nn.Sequential:
    """Return linear layers of these channels with activations between them, and after the last if asked."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*(layers if last else layers[:-1]))


def scaled(channels: int, width: float) -> int:
    """Return a number of channels times `width`, at least 2."""
    return max(2, round(channels * width))


def unless_finite(outputs: Tensor, inputs: Tensor) -> Tensor:
    """Return the outputs [N, ...], NaN for each row of the inputs [N, ...] that has a NaN or an infinity.

    For networks with a maximum in them: ONNX Runtime's takes the number where one of two is NaN.
    """
    zero = (inputs * 0).flatten(1).sum(1)
    return outputs + zero.view(-1, *[1] * (outputs.dim() - 1))


def shake(network: nn.Module) -> None:
    """Give every normalisation random statistics, as if it had seen data.

    With those that it starts from, a mistake in folding it would go unseen.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, std=0.1)
            if module.running_var is not None:
                nn.init.uniform_(module.running_var, 0.5, 1.5)


def parameter_count(network: nn.Module) -> int:
    """Weights, and running means and variances."""
    statistics = sum(b.numel() for name, b in network.named_buffers() if name.endswith(("_mean", "_var")))
    return statistics + sum(p.numel() for p in network.parameters())


def normalisation_count(network: nn.Module) -> int:
    """Those of :func:`parameter_count` that belong to batch normalisations."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    return sum(parameter_count(norm) for norm in norms)


def folded(network: Network) -> Network:
    """Return a copy for inference, with every normalisation folded into its linear layer."""
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        for module in list(network.modules()):
            if isinstance(module, NormedConv | NormedInput | NormedLinear):
                module.fold()
    return network
