"""DeepMET: missing transverse momentum as a weighted sum over the particle-flow candidates of an event.

Architecture of CMS's DeepMET (arXiv:2509.12012): a small network gives each candidate a weight w and a bias
(bx, by), and the missing momentum is the sum of (w - 1) (p + b). As in
:mod:`sonic.workloads.networks.particlenet`, layers run on rows, one for each candidate that is really there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sonic.workloads.features import MAX_CANDIDATES, MET_FEATURES, MET_PT, MET_PX, MET_SCALE_GEV, MET_VOCABULARIES
from sonic.workloads.networks.blueprint import Blueprint, Input, Output
from sonic.workloads.networks.layers import NormedLinear, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# Thousands of biases add up, so a small one is large: this keeps the optimiser's steps in proportion.
_BIAS_SCALE = 0.01


@dataclass(frozen=True, slots=True)
class DeepMETConfig:
    """Layer sizes; the defaults are the published ones.

    Parameters
    ----------
    features : int
        Continuous features of a candidate; transverse momentum and its components are among them.
    vocabularies : tuple of int
        Number of values of each categorical feature.
    embedding : int
        Channels of each categorical feature's embedding.
    hidden : tuple of int
        Channels of the dense layers.
    """

    features: int = 8
    vocabularies: tuple[int, ...] = MET_VOCABULARIES
    embedding: int = 8
    hidden: tuple[int, ...] = (64, 32, 16)

    def times(self, width: float) -> DeepMETConfig:
        """Every dense layer's channels times `width`, at least 2."""
        return replace(self, hidden=tuple(scaled(c, width) for c in self.hidden))


class DeepMET(nn.Module):
    """DeepMET.

    Inputs, padded to any number of candidates C: ``input`` [N, C, 8] float32 (:data:`features.MET_FEATURES`) and the
    categories ``input_cat0`` (charge), ``input_cat1`` (kind), ``input_cat2`` (vertex) [N, C, 1] int32. A candidate
    whose pt is 0 is padding. Returns the missing momentum's components [N, 2] in units of the scaled inputs
    (:data:`features.MET_SCALE_GEV`).
    """

    def __init__(self, config: DeepMETConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DeepMETConfig()
        self.embeddings = nn.ModuleList(nn.Embedding(v, config.embedding) for v in config.vocabularies)
        sizes = (config.features + config.embedding * len(config.vocabularies), *config.hidden)
        self.layers = nn.ModuleList(NormedLinear(a, b, bias=True) for a, b in pairwise(sizes))
        self.weight = nn.Linear(sizes[-1], 1)
        self.bias = nn.Linear(sizes[-1], 2)
        # Start from w = 0 and no bias: minus the plain sum of momenta.
        nn.init.normal_(self.weight.weight, std=0.02)
        nn.init.zeros_(self.weight.bias)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)

    def forward(
        self,
        input: Tensor,  # noqa: A002 - the published name
        input_cat0: Tensor,
        input_cat1: Tensor,
        input_cat2: Tensor,
    ) -> Tensor:
        """Return the missing momentum's components [N, 2]."""
        there = input[:, :, MET_PT] > 0
        events, candidates = there.shape
        # At least two rows an event: a product of matrices with a single row rounds differently, and the result
        # must not depend on the events beside it.
        kept = there if self.training else there | (torch.arange(candidates, device=input.device) < 2)
        slots = kept.flatten().nonzero().squeeze(1)
        features = input.flatten(0, 1)[slots]
        codes = (c.flatten()[slots].to(torch.int64) for c in (input_cat0, input_cat1, input_cat2))
        rows = torch.cat([features, *(e(c) for e, c in zip(self.embeddings, codes, strict=True))], dim=1)
        for layer in self.layers:
            rows = torch.tanh(layer(rows))
        terms = (self.weight(rows) - 1) * (features[:, MET_PX : MET_PX + 2] + _BIAS_SCALE * self.bias(rows))

        row_of = torch.zeros(events * candidates, dtype=torch.int64, device=input.device)
        row_of = row_of.scatter(0, slots, torch.arange(slots.shape[0], device=input.device))
        dense = torch.where(there.unsqueeze(2), terms[row_of].view(-1, candidates, 2), 0.0)
        # A batched product sums each event by itself; a plain sum over the axis rounds differently for one event.
        ones = torch.ones(1, 2, candidates, dtype=dense.dtype, device=dense.device).expand(events, -1, -1)
        return (ones @ dense)[:, 0]


def _example(rows: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Events of which some candidates are padding."""
    there = np.arange(MAX_CANDIDATES) < rng.integers(1, MAX_CANDIDATES, (rows, 1))
    values = rng.normal(size=(rows, MAX_CANDIDATES, len(MET_FEATURES)))
    values[:, :, MET_PT] = np.abs(values[:, :, MET_PT]) + 0.01
    arrays = {"input": (values * there[:, :, None]).astype(np.float32)}
    for i, size in enumerate(MET_VOCABULARIES):
        arrays[f"input_cat{i}"] = (rng.integers(0, size, there.shape) * there)[:, :, None].astype(np.int32)
    return arrays


BLUEPRINTS = {
    "deepmet": Blueprint(
        about=f"DeepMET. Output: missing momentum's x and y components in units of {MET_SCALE_GEV:g} GeV.",
        make=lambda width: DeepMET(DeepMETConfig().times(width)),
        example=_example,
        inputs=(
            Input("input", (MAX_CANDIDATES, len(MET_FEATURES))),
            *(Input(f"input_cat{i}", (MAX_CANDIDATES, 1), "int32") for i in range(len(MET_VOCABULARIES))),
        ),
        outputs=(Output("output", (2,)),),
        max_batch_size=32,
    )
}
