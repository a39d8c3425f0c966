"""FACILE: the energy of a channel of the hadron calorimeter, from its charges and its place.

Architecture of Krupa et al. (arXiv:2007.10359), in three sizes. ``v2`` and ``v5`` normalise their inputs alone.
``fpga`` (arXiv:2010.08556) normalises the inputs of each hidden layer; its normalisations have no scale and shift of
their own, which the linear layer behind them could not tell from its weights: 120 statistics beside 981 weights. It is
there in floating point, and in the fixed point of :mod:`sonic.workloads.networks.fixedpoint`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from torch import nn

from sonic.workloads.networks.blueprint import Blueprint, Input, Output, normal
from sonic.workloads.networks.fixedpoint import FixedPoint
from sonic.workloads.networks.layers import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FacileConfig:
    """Layer sizes.

    Parameters
    ----------
    inputs : int
        Of a channel: iphi, gain, charges of the time slices, depth and abs(ieta) one-hot.
    hidden : tuple of int
        Channels of the hidden layers.
    activation : {"relu", "leaky_relu"}
    normalise : {"inputs", "layers"}
        The inputs alone, or those of each hidden layer.
    """

    inputs: int
    hidden: tuple[int, ...]
    activation: Literal["relu", "leaky_relu"] = "relu"
    normalise: Literal["inputs", "layers"] = "inputs"

    def times(self, width: float) -> FacileConfig:
        """Every hidden layer's channels times `width`, at least 2."""
        return replace(self, hidden=tuple(scaled(c, width) for c in self.hidden))


V2 = FacileConfig(47, (200, 100, 50, 20, 10, 5))
V5 = FacileConfig(46, (50, 30, 20, 10, 5, 3), activation="leaky_relu")
FPGA = FacileConfig(18, (31, 11, 3), normalise="layers")


class Facile(nn.Module):
    """FACILE: ``input`` [N, inputs] float32, one row a channel, to its energy [N, 1]."""

    def __init__(self, config: FacileConfig) -> None:
        super().__init__()
        self.config = config
        activation = nn.ReLU if config.activation == "relu" else nn.LeakyReLU
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise((config.inputs, *config.hidden))):
            if config.normalise == "layers":
                layers.append(nn.BatchNorm1d(inputs, affine=False))
            elif number == 0:
                layers.append(nn.BatchNorm1d(inputs))
            layers += [nn.Linear(inputs, outputs), activation()]
        self.layers = nn.Sequential(*layers, nn.Linear(config.hidden[-1], 1))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the published name
        """Return energies [N, 1]."""
        energies: Tensor = self.layers(input)
        return energies


def _fixed(width: float) -> FixedPoint:
    return FixedPoint(Facile(FPGA.times(width)).layers)


def _blueprint(
    about: str,
    config: FacileConfig,
    max_batch_size: int,
    preferred: int,
    make: Callable[[float], nn.Module] | None = None,
) -> Blueprint:
    inputs = (Input("input", (config.inputs,)),)
    return Blueprint(
        about=about,
        make=make or (lambda width: Facile(config.times(width))),
        example=normal(inputs),
        inputs=inputs,
        outputs=(Output("output", (1,)),),
        max_batch_size=max_batch_size,
        preferred=(preferred,),
        delay_us=100,
    )


BLUEPRINTS = {
    "facile-v2": _blueprint("FACILE v2: energies of HCAL channels, an event in a request.", V2, 32_000, 16_000),
    "facile-v5": _blueprint("FACILE v5: energies of HCAL channels, an event in a request.", V5, 32_000, 16_000),
    "facile-fpga": _blueprint("FACILE as it is put on FPGAs: energies of HCAL channels.", FPGA, 16_384, 16_384),
    "facile-fpga-fixed": _blueprint("FACILE in fixed point: energies of HCAL channels.", FPGA, 16_384, 16_384, _fixed),
}
