"""GravNet with object condensation: which hits of a calorimeter belong to one shower.

Qasim et al. (arXiv:1902.07987) and Kieseler (arXiv:2002.03605), with the sizes used for CMS's HGCAL. Each block moves
features between a hit and its 40 nearest in a space that it learns. Normalisations stand before each of a block's two
dense layers and behind each exchange and each of the four layers of 128, which makes 427,392 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output
from sonic.workloads.networks.layers import dense, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_NEVER = 1e30  # the distance of a hit that is not there
_SHARPNESS = 10.0  # of the weight exp(-10 d^2)
_COORDINATES = 3


@dataclass(frozen=True, slots=True)
class GravNetConfig:
    """Layer sizes; the defaults are the published ones.

    Parameters
    ----------
    features : int
        Of a hit.
    embedding : int
        Channels that the first block gets.
    space, moved, neighbours : int
        Dimensions of the learned space, channels that are moved in it, and from how many hits, itself among them.
    channels, hidden, blocks : int
        Channels that a block gives, of the layer in it, and how many blocks.
    dense : int
        Channels of each of the four layers behind them.
    head : int
        Channels of each of the two layers before the outputs.
    """

    features: int = 5
    embedding: int = 64
    space: int = 4
    moved: int = 22
    neighbours: int = 40
    channels: int = 96
    hidden: int = 128
    blocks: int = 4
    dense: int = 128
    head: int = 64

    def times(self, width: float) -> GravNetConfig:
        """Every channel count times `width`, at least 2."""
        names = ("embedding", "moved", "channels", "hidden", "dense", "head")
        return replace(self, **{name: scaled(getattr(self, name), width) for name in names})


def exchange(hits: Tensor) -> Tensor:
    """Return each hit [N, C] beside mean, least and greatest of all hits: [N, 4C]."""
    count = torch.ones_like(hits[:, :1]).sum(0, keepdim=True).clamp(min=1)
    # One more row, so that there is a least of none.
    edge = hits.new_full((1, hits.shape[1]), _NEVER)
    least = torch.cat((hits, edge)).amin(0, keepdim=True)
    greatest = torch.cat((hits, -edge)).amax(0, keepdim=True)
    everyone = torch.cat((hits.sum(0, keepdim=True) / count, least, greatest), dim=1)
    return torch.cat((hits, everyone.expand(hits.shape[0], -1)), dim=1)


class GravNetLayer(nn.Module):
    """Move features from each hit's nearest to it, weighted by their distance in a learned space."""

    def __init__(self, inputs: int, outputs: int, config: GravNetConfig) -> None:
        super().__init__()
        self.neighbours = config.neighbours
        self.space = nn.Linear(inputs, config.space)
        self.moved = nn.Linear(inputs, config.moved)
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.gathered = nn.Linear(2 * config.moved, outputs)

    def forward(self, hits: Tensor) -> Tensor:
        """Return hits [N, outputs] from hits [N, inputs]."""
        place, moved = self.space(hits), self.moved(hits)
        square = (place * place).sum(1)
        distance = square.unsqueeze(1) + square.unsqueeze(0) - 2 * place @ place.T
        # As many columns more as there are neighbours, so that there are always enough.
        absent = distance.new_full((hits.shape[0], self.neighbours), _NEVER)
        near = torch.topk(torch.cat((distance, absent), dim=1), self.neighbours, dim=1, largest=False).indices
        there = near < hits.shape[0]
        near = torch.where(there, near, 0)
        # Anew from the places, for the product above has lost digits of small distances.
        exact = (place[near] - place.unsqueeze(1)).square().sum(2)
        weight = torch.where(there, torch.exp(-_SHARPNESS * exact), 0.0)
        messages = weight.unsqueeze(2) * moved[near]
        mean = messages.sum(1) / there.sum(1, keepdim=True).clamp(min=1).to(hits.dtype)
        greatest = torch.where(there.unsqueeze(2), messages, -_NEVER).amax(1)
        gathered: Tensor = self.own(hits) + self.gathered(torch.cat((mean, greatest), dim=1))
        return gathered


class Block(nn.Module):
    """A GravNet layer, two dense layers, and an exchange with all hits."""

    def __init__(self, inputs: int, config: GravNetConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, config.hidden
        self.gravnet = GravNetLayer(inputs, channels, config)
        self.post = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.Linear(channels, hidden),
            nn.Tanh(),
            nn.BatchNorm1d(hidden),
            nn.Linear(hidden, channels),
            nn.Tanh(),
        )
        self.output = nn.Sequential(nn.Linear(4 * channels, channels), nn.Tanh(), nn.BatchNorm1d(channels))

    def forward(self, hits: Tensor) -> Tensor:
        """Return hits [N, channels] from hits [N, inputs]."""
        given: Tensor = self.output(exchange(self.post(self.gravnet(hits))))
        return given


class GravNet(nn.Module):
    """GravNet with object condensation, on one event.

    Input: ``hits`` [N, 5] float32. Returns for each hit how much it stands for its shower [N], between 0 and 1, and its
    place [N, 3] in the space in which showers condense; in training the former as a logit. An event without hits gives
    none; one with a hit that is not finite gives NaN for all of them.
    """

    def __init__(self, config: GravNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GravNetConfig()
        self.input_norm = nn.BatchNorm1d(config.features)
        self.embedding = nn.Linear(4 * config.features, config.embedding)
        inputs = (config.embedding, *[config.channels] * (config.blocks - 1))
        self.blocks = nn.ModuleList(Block(size, config) for size in inputs)
        layers: list[nn.Module] = []
        for size, outputs in pairwise((config.blocks * config.channels, *[config.dense] * 4)):
            layers += [nn.Linear(size, outputs), nn.ReLU(), nn.BatchNorm1d(outputs)]
        self.dense = nn.Sequential(*layers)
        self.head = dense((config.dense, config.head, config.head, 1 + _COORDINATES), nn.ReLU)

    def forward(self, hits: Tensor) -> tuple[Tensor, Tensor]:
        """Return condensation [N] and coordinates [N, 3]."""
        rows = self.embedding(exchange(self.input_norm(hits)))
        given = []
        for block in self.blocks:
            rows = block(rows)
            given.append(rows)
        # The maxima may pass over what is not a number.
        finite = (hits * 0).sum()
        outputs = self.head(self.dense(torch.cat(given, dim=1))) + finite
        beta = outputs[:, 0] if self.training else torch.sigmoid(outputs[:, 0])
        return beta, outputs[:, 1:]


def _example(rows: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    return {"hits": rng.normal(size=(rows, GravNetConfig().features)).astype(np.float32)}


BLUEPRINTS = {
    "gravnet-oc": Blueprint(
        about="GravNet with object condensation: showers from one event's hits.",
        make=lambda width: GravNet(GravNetConfig().times(width)),
        example=_example,
        inputs=(Input("hits", ("hits", GravNetConfig().features)),),
        outputs=(Output("beta", ("hits",)), Output("coordinates", ("hits", _COORDINATES))),
    )
}
