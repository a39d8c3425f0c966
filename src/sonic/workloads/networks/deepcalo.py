"""DeepCalo: the energy of an electron from images of its cells in four layers of the calorimeter.

Blocks of convolutions, each behind the first after a pooling. Both published sizes count weights and biases alone, as
the table of the zoo does: 1,833,745 has the 3x3 cells that four poolings leave in 256 channels as inputs of the dense
layers, 6,857 has eight channels in all nine convolutions and one number of each as input, so their mean is taken. Every
convolution has a bias and a normalisation, and so have the inputs a normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output, normal
from sonic.workloads.networks.layers import NormedConv, dense, scaled, unless_finite

if TYPE_CHECKING:
    from torch import Tensor

ETA_CELLS, PHI_CELLS, LAYERS = 56, 11, 4
_STRETCH = 5  # cells are five times as long in phi as in eta


@dataclass(frozen=True, slots=True)
class DeepCaloConfig:
    """Layer sizes; the defaults are the published ones.

    Parameters
    ----------
    blocks : tuple of tuple of int
        Channels of the convolutions of each block; a pooling stands between two blocks.
    mean : bool
        Whether the dense layers see each channel's mean instead of its cells.
    hidden : tuple of int
        Channels of the dense layers.
    """

    blocks: tuple[tuple[int, ...], ...] = ((16,), (32, 32), (64, 64), (128, 128), (256, 256))
    mean: bool = False
    hidden: tuple[int, ...] = (256, 256)

    def times(self, width: float) -> DeepCaloConfig:
        """Every channel count times `width`, at least 2."""
        blocks = tuple(tuple(scaled(c, width) for c in block) for block in self.blocks)
        return replace(self, blocks=blocks, hidden=tuple(scaled(c, width) for c in self.hidden))


TINY = DeepCaloConfig(blocks=((8,), (8, 8), (8, 8), (8, 8), (8, 8)), mean=True, hidden=(32, 32))


class DeepCalo(nn.Module):
    """DeepCalo: ``images`` [N, 56, 11, 4] float32 (eta, phi, layer), to energies [N, 1], none negative.

    An image with a NaN or an infinity gives NaN.
    """

    def __init__(self, config: DeepCaloConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DeepCaloConfig()
        self.input_norm = nn.BatchNorm2d(LAYERS)
        layers: list[nn.Module] = []
        rows, columns, channels = ETA_CELLS, PHI_CELLS * _STRETCH, LAYERS
        for number, block in enumerate(config.blocks):
            if number:
                layers.append(nn.MaxPool2d(2))
                rows, columns = rows // 2, columns // 2
            for outputs in block:
                layers += [NormedConv(channels, outputs, 3 if number else 5, bias=True), nn.LeakyReLU()]
                channels = outputs
        if config.mean:
            layers.append(nn.AvgPool2d((rows, columns)))
            rows = columns = 1
        self.images = nn.Sequential(*layers)
        self.head = dense((channels * rows * columns, *config.hidden, 1), nn.LeakyReLU)
        # No energy is negative: a network that starts below zero would never learn.
        nn.init.ones_(cast("nn.Linear", self.head[-1]).bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return energies [N, 1]."""
        planes = images.permute(0, 3, 1, 2)
        stretched = planes.unsqueeze(4).expand(-1, -1, -1, -1, _STRETCH).flatten(3)
        energies = torch.relu(self.head(self.images(self.input_norm(stretched)).flatten(1)))
        return unless_finite(energies, images)


def _blueprint(about: str, config: DeepCaloConfig) -> Blueprint:
    inputs = (Input("images", (ETA_CELLS, PHI_CELLS, LAYERS)),)
    return Blueprint(
        about=about,
        make=lambda width: DeepCalo(config.times(width)),
        example=normal(inputs),
        inputs=inputs,
        outputs=(Output("energy", (1,)),),
        max_batch_size=128,
        preferred=(32, 64),
        delay_us=100,
    )


BLUEPRINTS = {
    "deepcalo": _blueprint("DeepCalo: energies of electrons from calorimeter images.", DeepCaloConfig()),
    "deepcalo-tiny": _blueprint("DeepCalo with eight filters: energies of electrons from calorimeter images.", TINY),
}
