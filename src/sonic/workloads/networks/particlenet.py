"""ParticleNet for AK4 jets: a graph network on the particles and secondary vertices of a jet.

Architecture of Qu and Gouskos, "ParticleNet: jet tagging via particle clouds" (arXiv:1902.08570), with the layer
sizes that CMS runs on AK4 jets. Every layer that acts on points runs on *rows*, one for each point that is really
there, so padding costs nothing and cannot leak into a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from sonic.workloads.features import PF_FEATURES, SV_FEATURES
from sonic.workloads.networks.layers import NormedInput, NormedLinear
from sonic.workloads.truth import CLASSES

if TYPE_CHECKING:
    from torch import Tensor

# The pairwise distance given to a pair that may not be neighbours.
_NEVER = 1e9


@dataclass(frozen=True, slots=True)
class ParticleNetConfig:
    """Layer sizes; the defaults are the published ones for AK4 jets.

    Parameters
    ----------
    pf_features, sv_features : int
        Features of a particle and of a secondary vertex.
    embedding : int
        Channels after the first layer, common to both.
    edge_channels : tuple of tuple of int
        Channels of the layers of each EdgeConv block.
    neighbours : int
        Nearest neighbours of a point in each block.
    fusion, hidden, classes : int
        Channels of the fusion layer, of the hidden dense layer, and outputs.
    dropout : float
        Probability of dropping an activation of the hidden layer in training.
    """

    pf_features: int = len(PF_FEATURES)
    sv_features: int = len(SV_FEATURES)
    embedding: int = 32
    edge_channels: tuple[tuple[int, ...], ...] = ((64, 64, 64), (96, 96, 96), (128, 128, 128))
    neighbours: int = 8
    fusion: int = 256
    hidden: int = 128
    classes: int = len(CLASSES)
    dropout: float = 0.1

    def times(self, width: float) -> ParticleNetConfig:
        """Every channel count times `width`, in steps of 4 and at least 4."""

        def of(channels: int) -> int:
            return max(4, 4 * round(channels * width / 4))

        return replace(
            self,
            embedding=of(self.embedding),
            edge_channels=tuple(tuple(of(c) for c in block) for block in self.edge_channels),
            fusion=of(self.fusion),
            hidden=of(self.hidden),
        )


class EdgeConv(nn.Module):
    """Update each point from its neighbours: mean over them of a network of (x_i, x_j - x_i), plus a shortcut.

    The first layer is linear in both halves, W (x_i, x_j - x_i) = (W1 - W2) x_i + W2 x_j, so it runs once a point
    instead of once an edge.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        sizes = (2 * inputs, *channels)
        self.layers = nn.ModuleList(NormedLinear(a, b) for a, b in pairwise(sizes))
        self.shortcut = NormedLinear(inputs, channels[-1])

    def forward(self, rows: Tensor, neighbours: Tensor, valid: Tensor) -> Tensor:
        """Return rows [R, channels] from rows [R, inputs], their neighbours' rows [R, k] and which of them exist."""
        first, others = cast("NormedLinear", self.layers[0]), self.layers[1:]
        own, other = first.linear.weight.chunk(2, dim=1)
        here = functional.linear(rows, own - other, first.linear.bias)
        there = functional.linear(rows, other)
        edges = torch.relu(first.norm((here.unsqueeze(1) + there[neighbours]).flatten(0, 1)))
        for layer in others:
            edges = torch.relu(layer(edges))
        edges = edges.view(-1, neighbours.shape[1], edges.shape[1])
        total = torch.where(valid.unsqueeze(2), edges, 0.0).sum(1)
        mean = total / valid.sum(1, keepdim=True).clamp(min=1).to(rows.dtype)
        return torch.relu(self.shortcut(rows) + mean)


def nearest(points: Tensor, mask: Tensor, k: int) -> Tensor:
    """Return the slots [N, T, k] of the k nearest points of each point, itself and absent points excluded.

    Parameters
    ----------
    points : Tensor
        Coordinates [N, T, D].
    mask : Tensor of bool
        Which of them exist [N, T]. Where fewer than k neighbours exist, the rest are slots of absent points.
    """
    square = (points * points).sum(-1)
    distance = square.unsqueeze(2) + square.unsqueeze(1) - 2 * points @ points.transpose(1, 2)
    number = torch.arange(points.shape[1], device=points.device)
    itself = number.unsqueeze(1) == number
    # Itself last of all: it exists, and would count where neighbours are few.
    distance = torch.where(itself, 2 * _NEVER, torch.where(mask.unsqueeze(1), distance, _NEVER))
    return torch.topk(distance, k, dim=-1, largest=False).indices


class ParticleNet(nn.Module):
    """ParticleNet for AK4 jets.

    Inputs, padded to any number of particles P and vertices S: ``pf_points`` [N, 2, P], ``pf_features`` [N, 20, P],
    ``pf_mask`` [N, 1, P] and ``sv_points`` [N, 2, S], ``sv_features`` [N, 11, S], ``sv_mask`` [N, 1, S], float32.
    Returns logits [N, 8] in training and probabilities [N, 8] otherwise, in the order of
    :data:`sonic.workloads.truth.CLASSES`.
    """

    def __init__(self, config: ParticleNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ParticleNetConfig()
        self.pf_embedding = NormedInput(config.pf_features, config.embedding)
        self.sv_embedding = NormedInput(config.sv_features, config.embedding)
        inputs = (config.embedding, *(c[-1] for c in config.edge_channels))
        self.blocks = nn.ModuleList(EdgeConv(a, c) for a, c in zip(inputs, config.edge_channels, strict=False))
        self.fusion = NormedLinear(sum(inputs[1:]), config.fusion)
        self.hidden = nn.Linear(config.fusion, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, config.classes)

    def forward(
        self,
        pf_points: Tensor,
        pf_features: Tensor,
        pf_mask: Tensor,
        sv_points: Tensor,
        sv_features: Tensor,
        sv_mask: Tensor,
    ) -> Tensor:
        """Return logits or probabilities [N, 8]."""
        jets, particles, vertices = pf_mask.shape[0], pf_mask.shape[2], sv_mask.shape[2]
        points = particles + vertices
        pf_rows, sv_rows = self._kept(pf_mask[:, 0] > 0), self._kept(sv_mask[:, 0] > 0)
        rows = torch.cat(
            (
                torch.relu(self.pf_embedding(pf_features.transpose(1, 2).flatten(0, 1)[pf_rows])),
                torch.relu(self.sv_embedding(sv_features.transpose(1, 2).flatten(0, 1)[sv_rows])),
            )
        )
        # A slot is a place in the padded jets [N * (P + S)]; each row has one, each slot in use has a row.
        slots = torch.cat(
            (
                pf_rows + pf_rows.div(particles, rounding_mode="floor") * vertices,
                sv_rows + (sv_rows.div(vertices, rounding_mode="floor") + 1) * particles,
            )
        )
        row_of = torch.zeros(jets * points, dtype=torch.int64, device=rows.device)
        row_of = row_of.scatter(0, slots, torch.arange(slots.shape[0], device=rows.device))
        mask = torch.cat((pf_mask[:, 0], sv_mask[:, 0]), dim=1) > 0
        first_slot = (torch.arange(jets, device=rows.device) * points).view(-1, 1, 1)

        place = torch.cat((pf_points, sv_points), dim=2).transpose(1, 2)
        blocks = []
        for block in self.blocks:
            near = (nearest(place, mask, self.config.neighbours) + first_slot).flatten(0, 1)[slots]
            rows = block(rows, row_of[near], mask.flatten()[near])
            place = rows[row_of].view(-1, points, rows.shape[1])
            blocks.append(rows)
        return self._classify(torch.relu(self._fuse(blocks)), row_of, mask)

    def _fuse(self, blocks: list[Tensor]) -> Tensor:
        """Apply the fusion layer to the blocks' outputs side by side, as one product for each block.

        BLAS splits long sums by the number of threads and of rows; these are short enough to stay whole.
        """
        linear = self.fusion.linear
        weights = torch.split(linear.weight, [rows.shape[1] for rows in blocks], dim=1)
        fused = functional.linear(blocks[0], weights[0], linear.bias)
        for rows, weight in zip(blocks[1:], weights[1:], strict=True):
            fused = fused + functional.linear(rows, weight)
        normed: Tensor = self.fusion.norm(fused)
        return normed

    def _kept(self, there: Tensor) -> Tensor:
        """Rows to compute, as indices into the flattened mask [N, P].

        Outside training each jet keeps two at least: products of matrices with a single row take another path in
        BLAS and round differently, and a jet's result must not depend on the jets beside it.
        """
        if not self.training:
            there = there | (torch.arange(there.shape[1], device=there.device) < 2)
        return there.flatten().nonzero().squeeze(1)

    def _classify(self, rows: Tensor, row_of: Tensor, mask: Tensor) -> Tensor:
        dense = rows[row_of].view(-1, mask.shape[1], rows.shape[1])
        dense = torch.where(mask.unsqueeze(2), dense, 0.0)
        # Two equal rows a jet, for the reason given in _kept.
        weights = mask.to(rows.dtype).unsqueeze(1).expand(-1, 2, -1)
        pooled = (weights @ dense) / mask.sum(1).clamp(min=1).to(rows.dtype).view(-1, 1, 1)
        logits = self.output(self.dropout(torch.relu(self.hidden(pooled))))[:, 0]
        return logits if self.training else torch.softmax(logits, dim=1)
