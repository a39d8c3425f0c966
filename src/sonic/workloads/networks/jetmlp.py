"""The dense network for jets in a Level-1 trigger: 16 quantities of a jet to five classes.

Duarte et al. (arXiv:1804.06913): 16-64-32-32-5, 4,389 weights; in floating point, and in fixed point without
the softmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output, normal
from sonic.workloads.networks.fixedpoint import FixedPoint
from sonic.workloads.networks.layers import dense, scaled

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = ("g", "q", "W", "Z", "t")
_FEATURES = 16


class JetMLP(nn.Module):
    """The network: ``input`` [N, 16] float32 to probabilities [N, 5] of :data:`CLASSES`; logits in training."""

    def __init__(self, hidden: tuple[int, ...] = (64, 32, 32)) -> None:
        super().__init__()
        self.layers = dense((_FEATURES, *hidden, len(CLASSES)), nn.ReLU)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the published name
        """Return logits or probabilities [N, 5]."""
        logits: Tensor = self.layers(input)
        return logits if self.training else torch.softmax(logits, dim=1)


def _hidden(width: float) -> tuple[int, ...]:
    return scaled(64, width), scaled(32, width), scaled(32, width)


_INPUTS = (Input("input", (_FEATURES,)),)
BLUEPRINTS = {
    "jet-mlp": Blueprint(
        about="Dense network of 16 quantities for Level-1 jets.",
        make=lambda width: JetMLP(_hidden(width)),
        example=normal(_INPUTS),
        inputs=_INPUTS,
        outputs=(Output("softmax", (len(CLASSES),), CLASSES),),
        max_batch_size=16_384,
        preferred=(1024,),
        delay_us=100,
    ),
    "jet-mlp-fixed": Blueprint(
        about="Dense network of 16 quantities for Level-1 jets, in fixed point.",
        make=lambda width: FixedPoint(JetMLP(_hidden(width)).layers),
        example=normal(_INPUTS),
        inputs=_INPUTS,
        outputs=(Output("logits", (len(CLASSES),), CLASSES),),
        max_batch_size=16_384,
        preferred=(1024,),
        delay_us=100,
    ),
}
