"""The graph network of Exa.TrkX: which edges between hits join hits of one particle.

Architecture of Ju et al. (arXiv:2103.06995). Hits are embedded, then eight times the edges are weighted by their ends
and the hits updated from their neighbours, always by the same two networks. The small one has the layers of the
published model (44,803 weights, its last node layer without normalisation). The large one has 256 channels a hit and
four layers of 128 an edge, the last of them without normalisation, which gives its 516,993 weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output
from sonic.workloads.networks.layers import scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_FEATURES = 3


@dataclass(frozen=True, slots=True)
class TrackGNNConfig:
    """Layer sizes; the defaults are the published ones.

    Parameters
    ----------
    hit : int
        Channels of each of a hit's three layers, in the embedding and in the update.
    edge : tuple of int
        Channels of an edge's layers.
    iterations : int
    bare_hit, bare_edge : bool
        Whether the last layer of the update is linear alone; whether the last of an edge has no normalisation.
    """

    hit: int = 64
    edge: tuple[int, ...] = (67, 67, 67)
    iterations: int = 8
    bare_hit: bool = True
    bare_edge: bool = False

    def times(self, width: float) -> TrackGNNConfig:
        """Every channel count times `width`, at least 2."""
        return replace(self, hit=scaled(self.hit, width), edge=tuple(scaled(c, width) for c in self.edge))


LARGE = TrackGNNConfig(hit=256, edge=(128, 128, 128, 128), bare_hit=False, bare_edge=True)


def _layers(sizes: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
    return layers


class TrackGNN(nn.Module):
    """The network, on one event.

    Inputs: ``hits`` [N, 3] float32 (r, phi, z, scaled) and ``edges`` [2, E] int64, the numbers of the hits that each
    edge joins. Returns the probability [E] that an edge joins hits of one particle; its logit in training. An event
    without edges gives none; a hit that is not finite makes NaN of the edges that it can reach in eight steps; a
    number that no hit has is an error.
    """

    def __init__(self, config: TrackGNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TrackGNNConfig()
        hidden, both = (config.hit,) * 3, 2 * (config.hit + _FEATURES)
        self.embedding = nn.Sequential(*_layers((_FEATURES, *hidden)))
        edge = _layers((both, *config.edge))
        if config.bare_edge:
            del edge[-2]
        self.edge = nn.Sequential(*edge, nn.Linear(config.edge[-1], 1))
        node = _layers((both, *hidden))
        self.node = nn.Sequential(*(node[:-2] if config.bare_hit else node))

    def forward(self, hits: Tensor, edges: Tensor) -> Tensor:
        """Return probabilities or logits [E]."""
        start, end = edges[0], edges[1]
        state = torch.cat((self.embedding(hits), hits), dim=1)
        for _ in range(self.config.iterations):
            weight = torch.sigmoid(self._edges(state, start, end))
            messages = torch.zeros_like(state).index_add(0, end, weight * state[start])
            messages = messages.index_add(0, start, weight * state[end])
            state = state + torch.cat((self.node(torch.cat((messages, state), dim=1)), hits), dim=1)
        logits = self._edges(state, start, end)[:, 0]
        return logits if self.training else torch.sigmoid(logits)

    def _edges(self, state: Tensor, start: Tensor, end: Tensor) -> Tensor:
        logits: Tensor = self.edge(torch.cat((state[start], state[end]), dim=1))
        return logits


def _example(rows: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return an event with four edges a hit."""
    hits = rng.normal(size=(rows, _FEATURES)).astype(np.float32)
    return {"hits": hits, "edges": rng.integers(0, rows, (2, 4 * rows))}


def _blueprint(about: str, config: TrackGNNConfig) -> Blueprint:
    return Blueprint(
        about=about,
        make=lambda width: TrackGNN(config.times(width)),
        example=_example,
        inputs=(Input("hits", ("hits", _FEATURES)), Input("edges", (2, "edges"), "int64")),
        outputs=(Output("scores", ("edges",)),),
        parameters={"intra_op_thread_count": "1"},
        remark="With more threads ONNX Runtime loses some of the sums over a hit's edges (ScatterND, its issue 23396).",
    )


BLUEPRINTS = {
    "trackgnn": _blueprint("Graph network for tracking: one event's hits and edges.", TrackGNNConfig()),
    "trackgnn-large": _blueprint("Graph network for tracking, large: one event's hits and edges.", LARGE),
}
