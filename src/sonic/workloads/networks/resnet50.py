"""ResNet-50 that tags top quarks in images of jets.

He et al. (arXiv:1512.03385), the stride of a stage in its first 3x3 convolution; behind the 2048 features a dense layer
of 1024 and one of 2, as in the study of top tagging as a service (arXiv:1904.08986): 25,608,258 weights and 53,120
running statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output, normal
from sonic.workloads.networks.layers import NormedConv, dense, scaled, unless_finite

if TYPE_CHECKING:
    from torch import Tensor

PIXELS, COLOURS = 224, 3
CLASSES = ("top", "qcd")
_EXPANSION = 4


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """Layer sizes; the defaults are those of ResNet-50.

    Parameters
    ----------
    stem : int
        Channels of the first convolution.
    blocks, channels : tuple of int
        Bottlenecks of each stage, and channels within them; four times as many come out.
    hidden : int
        Channels of the dense layer behind the features.
    """

    stem: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    channels: tuple[int, ...] = (64, 128, 256, 512)
    hidden: int = 1024

    def times(self, width: float) -> ResNetConfig:
        """Every channel count times `width`, at least 2."""
        return replace(
            self,
            stem=scaled(self.stem, width),
            channels=tuple(scaled(c, width) for c in self.channels),
            hidden=scaled(self.hidden, width),
        )


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * channels
        self.reduce = NormedConv(inputs, channels, 1)
        self.middle = NormedConv(channels, channels, 3, stride=stride)
        self.expand = NormedConv(channels, outputs, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else NormedConv(inputs, outputs, 1, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return images [N, 4 channels, H / stride, W / stride]."""
        inner = torch.relu(self.middle(torch.relu(self.reduce(images))))
        return torch.relu(self.expand(inner) + self.shortcut(images))


class ResNet(nn.Module):
    """ResNet: ``images`` [N, 224, 224, 3] float32 to probabilities [N, 2] of :data:`CLASSES`; logits in training.

    An image with a NaN or an infinity gives NaN.
    """

    def __init__(self, config: ResNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResNetConfig()
        self.stem = NormedConv(COLOURS, config.stem, 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        layers: list[nn.Module] = []
        inputs = config.stem
        for stage, (blocks, channels) in enumerate(zip(config.blocks, config.channels, strict=True)):
            for block in range(blocks):
                layers.append(Bottleneck(inputs, channels, 2 if stage and not block else 1))
                inputs = _EXPANSION * channels
        self.stages = nn.Sequential(*layers)
        self.mean = nn.AvgPool2d(PIXELS // 32)
        self.head = dense((inputs, config.hidden, len(CLASSES)), nn.ReLU)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits or probabilities [N, 2]."""
        maps = self.stages(self.pool(torch.relu(self.stem(images.permute(0, 3, 1, 2)))))
        logits = unless_finite(self.head(self.mean(maps).flatten(1)), images)
        return logits if self.training else torch.softmax(logits, dim=1)


_INPUTS = (Input("images", (PIXELS, PIXELS, COLOURS)),)
BLUEPRINTS = {
    "resnet50": Blueprint(
        about="ResNet-50: top quarks in images of jets.",
        make=lambda width: ResNet(ResNetConfig().times(width)),
        example=normal(_INPUTS),
        inputs=_INPUTS,
        outputs=(Output("probabilities", (len(CLASSES),), CLASSES),),
        max_batch_size=32,
        preferred=(10,),
        delay_us=500,
    )
}
