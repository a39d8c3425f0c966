"""DeepTau: whether a tau candidate is an electron, a muon, a hadronic tau or a jet.

The network of CMS (arXiv:2201.08458). Candidates around the tau stand in two grids of cells, a fine one of 11 x 11
and a coarse one of 21 x 21. In each cell three kinds of candidates have a chain of dense layers each, and one for all
three; convolutions without padding then join the cells until one is left. Every hidden layer has a batch normalisation
and a ReLU, the grids share no weights, and the inputs are expected normalised: 1,160,327 parameters.

Served as one model, or as an ensemble of four: the tau, each grid, and what joins them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sonic.workloads.features import CELL_FEATURES, TAU_FEATURES, TAU_GRIDS
from sonic.workloads.networks.blueprint import Blueprint, Ensemble, Input, Output, Step, normal
from sonic.workloads.networks.layers import NormedConv, NormedLinear, scaled

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = ("e", "mu", "tau", "jet")
KINDS = CELL_FEATURES
"""Features of a cell's candidates, by kind: egamma 86, muon 64, hadrons 38."""
GRIDS = {grid: side for grid, (side, _) in TAU_GRIDS.items()}
"""Cells on a side of each grid."""
_KERNEL = 3


@dataclass(frozen=True, slots=True)
class DeepTauConfig:
    """Layer sizes; the defaults are the published ones.

    Parameters
    ----------
    tau : tuple of int
        Channels of the layers of the tau's own features.
    chains : tuple of tuple of int
        Those of each kind of candidate, in the order of :data:`KINDS`.
    joined : tuple of int
        Those of a cell's three kinds together.
    head : tuple of int
        Those of the tau and both grids together.
    """

    tau: tuple[int, ...] = (113, 80, 57)
    chains: tuple[tuple[int, ...], ...] = ((207, 129, 104), (154, 96, 77), (92, 57, 46))
    joined: tuple[int, ...] = (227, 141, 88, 64)
    head: tuple[int, ...] = (200, 200, 200, 200)

    def times(self, width: float) -> DeepTauConfig:
        """Every channel count times `width`, at least 2."""

        def of(channels: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(scaled(c, width) for c in channels)

        chains = tuple(of(chain) for chain in self.chains)
        return replace(self, tau=of(self.tau), chains=chains, joined=of(self.joined), head=of(self.head))


class Rows(nn.Module):
    """Dense layers with normalisation and ReLU, on rows [R, inputs]."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(NormedLinear(a, b, bias=True) for a, b in pairwise((inputs, *channels)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows [R, channels]."""
        for layer in self.layers:
            rows = torch.relu(layer(rows))
        return rows


class TauRows(Rows):
    """What the tau's own features say."""

    def forward(self, input_tau: Tensor) -> Tensor:
        """Return rows [N, channels]."""
        return super().forward(input_tau)


class Grid(nn.Module):
    """What a grid of cells [N, side, side, features], for each kind of candidate, says: rows [N, channels]."""

    def __init__(self, side: int, config: DeepTauConfig) -> None:
        super().__init__()
        self.chains = nn.ModuleList(Rows(n, c) for n, c in zip(KINDS.values(), config.chains, strict=True))
        self.joined = Rows(sum(c[-1] for c in config.chains), config.joined)
        channels = config.joined[-1]
        steps = (side - 1) // (_KERNEL - 1)
        self.convs = nn.ModuleList(NormedConv(channels, channels, _KERNEL, padding=0, bias=True) for _ in range(steps))

    def join(self, cells: tuple[Tensor, ...]) -> Tensor:
        """Return rows [N, channels]."""
        rows = [chain(grid.flatten(0, 2)) for chain, grid in zip(self.chains, cells, strict=True)]
        joined = self.joined(torch.cat(rows, dim=1))
        side = cells[0].shape[1]
        maps: Tensor = joined.view(-1, side, side, joined.shape[1]).permute(0, 3, 1, 2)
        for conv in self.convs:
            maps = torch.relu(conv(maps))
        return maps.flatten(1)


class InnerGrid(Grid):
    """The fine grid; a class of its own for the names of its arguments, which are those of the served inputs."""

    def forward(self, input_inner_egamma: Tensor, input_inner_muon: Tensor, input_inner_hadrons: Tensor) -> Tensor:
        """Return rows [N, channels]."""
        return self.join((input_inner_egamma, input_inner_muon, input_inner_hadrons))


class OuterGrid(Grid):
    """The coarse grid."""

    def forward(self, input_outer_egamma: Tensor, input_outer_muon: Tensor, input_outer_hadrons: Tensor) -> Tensor:
        """Return rows [N, channels]."""
        return self.join((input_outer_egamma, input_outer_muon, input_outer_hadrons))


class Head(nn.Module):
    """The tau and both grids together: probabilities [N, 4] of :data:`CLASSES`; logits in training."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = Rows(inputs, channels)
        self.output = nn.Linear(channels[-1], len(CLASSES))

    def forward(self, tau_features: Tensor, inner_features: Tensor, outer_features: Tensor) -> Tensor:
        """Return logits or probabilities [N, 4]."""
        logits = self.output(self.layers(torch.cat((tau_features, inner_features, outer_features), dim=1)))
        return logits if self.training else torch.softmax(logits, dim=1)


class DeepTau(nn.Module):
    """DeepTau.

    Inputs, float32: ``input_tau`` [N, 47], and for each grid of `side` cells ``input_inner_egamma``
    [N, side, side, 86], ``..._muon`` [N, side, side, 64] and ``..._hadrons`` [N, side, side, 38]. Returns probabilities
    [N, 4] of :data:`CLASSES`; logits in training.
    """

    def __init__(self, config: DeepTauConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DeepTauConfig()
        self.tau = TauRows(len(TAU_FEATURES), config.tau)
        self.inner = InnerGrid(GRIDS["inner"], config)
        self.outer = OuterGrid(GRIDS["outer"], config)
        self.head = Head(config.tau[-1] + 2 * config.joined[-1], config.head)

    def forward(
        self,
        input_tau: Tensor,
        input_inner_egamma: Tensor,
        input_inner_muon: Tensor,
        input_inner_hadrons: Tensor,
        input_outer_egamma: Tensor,
        input_outer_muon: Tensor,
        input_outer_hadrons: Tensor,
    ) -> Tensor:
        """Return logits or probabilities [N, 4]."""
        inner = self.inner(input_inner_egamma, input_inner_muon, input_inner_hadrons)
        outer = self.outer(input_outer_egamma, input_outer_muon, input_outer_hadrons)
        probabilities: Tensor = self.head(self.tau(input_tau), inner, outer)
        return probabilities


_TAU = Input("input_tau", (len(TAU_FEATURES),))
_CELLS = {
    grid: tuple(Input(f"input_{grid}_{kind}", (side, side, features)) for kind, features in KINDS.items())
    for grid, side in GRIDS.items()
}
_INPUTS = (_TAU, *_CELLS["inner"], *_CELLS["outer"])
_OUTPUT = Output("probabilities", (len(CLASSES),), CLASSES)


def _blueprint(about: str, inputs: tuple[Input, ...], output: Output) -> Blueprint:
    return Blueprint(
        about=about,
        make=lambda width: DeepTau(DeepTauConfig().times(width)),
        example=normal(inputs),
        inputs=inputs,
        outputs=(output,),
        max_batch_size=128,
        preferred=(16, 32),
    )


def _steps(width: float) -> tuple[Step, ...]:
    config = DeepTauConfig().times(width)
    sizes = {"tau": config.tau[-1], "inner": config.joined[-1], "outer": config.joined[-1]}
    inputs = {"tau": (_TAU,), **_CELLS}
    steps = [
        Step(
            f"deeptau-{part}",
            _blueprint(f"A part of DeepTau: {part}.", inputs[part], Output(f"{part}_features", (size,))),
            lambda network, part=part: cast("nn.Module", network.get_submodule(part)),  # type: ignore[misc]
        )
        for part, size in sizes.items()
    ]
    joined = tuple(Input(f"{part}_features", (size,)) for part, size in sizes.items())
    head = _blueprint("A part of DeepTau: tau and grids together.", joined, _OUTPUT)
    return (*steps, Step("deeptau-head", head, lambda network: network.get_submodule("head")))


BLUEPRINTS = {"deeptau": _blueprint("DeepTau: kinds of tau candidates.", _INPUTS, _OUTPUT)}


def ensemble(width: float) -> Ensemble:
    """Return DeepTau in four steps, all channels times `width`."""
    return Ensemble(BLUEPRINTS["deeptau"], _steps(width))


ENSEMBLES = {"deeptau-ensemble": ensemble}
