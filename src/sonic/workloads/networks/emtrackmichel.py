"""EmTrackMichel: whether a hit in liquid argon is of a track, of a shower or neither, and of a Michel electron.

The network of ProtoDUNE (arXiv:2009.04509) on patches of 48 by 48 samples around each hit; 11,900,420 weights, nearly
all of them between the convolution's 44 x 44 x 48 outputs and the first dense layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output, normal
from sonic.workloads.networks.layers import dense, scaled

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 48
CLASSES = ("track", "em", "none")
_KERNEL = 5


class EmTrackMichel(nn.Module):
    """EmTrackMichel: ``main_input`` [N, 48, 48, 1] float32 to probabilities [N, 3] of :data:`CLASSES` and [N, 1].

    Parameters
    ----------
    filters : int
        Of the convolution.
    hidden : tuple of int
        Channels of the dense layers.

    In training it returns logits.
    """

    def __init__(self, filters: int = 48, hidden: tuple[int, ...] = (128, 32)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, _KERNEL)
        side = PIXELS - _KERNEL + 1
        self.layers = dense((filters * side * side, *hidden), nn.ReLU, last=True)
        self.kind = nn.Linear(hidden[-1], len(CLASSES))
        self.michel = nn.Linear(hidden[-1], 1)

    def forward(self, main_input: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits or probabilities of the kind [N, 3] and of a Michel electron [N, 1]."""
        maps = torch.relu(self.conv(main_input.permute(0, 3, 1, 2)))
        rows = self.layers(maps.flatten(1))
        kind, michel = self.kind(rows), self.michel(rows)
        return (kind, michel) if self.training else (torch.softmax(kind, dim=1), torch.sigmoid(michel))


_INPUTS = (Input("main_input", (PIXELS, PIXELS, 1)),)
BLUEPRINTS = {
    "emtrackmichel": Blueprint(
        about="EmTrackMichel: kinds of hits in a liquid-argon chamber, patches of 235 or 1720 hits in a request.",
        # The last layer has few weights, and all that is known of a hit goes through it: it is never narrower.
        make=lambda width: EmTrackMichel(scaled(48, width), (scaled(128, width), max(32, scaled(32, width)))),
        example=normal(_INPUTS),
        inputs=_INPUTS,
        outputs=(Output("em_trk_none_netout", (3,), CLASSES), Output("michel_netout", (1,))),
        max_batch_size=65_536,
        preferred=(1720,),
        delay_us=500,
    )
}
