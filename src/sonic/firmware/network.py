"""A network as firmware has it: a list of layers, channels last, without a batch. Pure.

Normalisations are gone: taken into the layers beside them, done by the host before, or scales of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import (
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Flatten,
    Layer,
    Pooling,
    Product,
    Recurrent,
    Reshape,
    Scale,
    Softmax,
    Sum,
    Upsampling,
    output_shape,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Weights = NDArray[np.float64]
    Shape = tuple[int, ...]

__all__ = [
    "Activation",
    "Concatenation",
    "Convolution",
    "Dense",
    "Difference",
    "Flatten",
    "Layer",
    "Network",
    "Normalisation",
    "Pooling",
    "Product",
    "Recurrent",
    "Reshape",
    "Scale",
    "Softmax",
    "Sum",
    "Upsampling",
    "output_shape",
]


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """What the host does to each number before the firmware takes it, so that few bits hold it.

    Parameters
    ----------
    factor, shift : float64 array [channels]
        Of the input.
    """

    factor: Weights
    shift: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Layers in the order in which they are computed; the last is the output.

    Parameters
    ----------
    name : str
        An identifier of C.
    input : str
    shape : tuple of int
        Of the input, channels last.
    layers : tuple of Layer
    transposed : bool
        Whether the model that it was made of has its input with the channels first.
    tensors : tuple of str
        What that model calls its input and its output; empty: as the input and the last layer are called.
    normalisation : Normalisation or None
        What the host does; rows of layers and emulators are such that it was done to.
    model : str
        What the model that it was made of is called, which need not be an identifier; empty: as the network.

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        Of the input and of each layer's output.

    Raises
    ------
    ConfigError
        If shapes do not fit, or a number is not finite: fixed point has no such thing.
    """

    name: str
    input: str
    shape: Shape
    layers: tuple[Layer, ...]
    transposed: bool = False
    tensors: tuple[str, ...] = ()
    normalisation: Normalisation | None = None
    model: str = ""
    shapes: Mapping[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        shapes = {self.input: self.shape}
        for layer in self.layers:
            if layer.name in shapes:
                raise ConfigError(f"two layers are called {layer.name!r}")
            for name in layer.inputs:
                if name not in shapes:
                    raise ConfigError(f"layer {layer.name!r} takes {name!r}, which does not come before it")
            shapes[layer.name] = output_shape(layer, [shapes[name] for name in layer.inputs])
        if not self.layers:
            raise ConfigError(f"network {self.name!r} has no layers")
        for layer in self.layers:
            _check_finite(f"layer {layer.name!r}", layer)
        host = self.normalisation
        if host is not None:
            _check_finite("what the host does", host)
        if host is not None and not host.factor.shape == host.shift.shape == self.shape[-1:]:
            raise ConfigError(
                f"the host normalises {len(host.factor)} channels, and {self.input!r} has {self.shape[-1]}"
            )
        object.__setattr__(self, "shapes", shapes)

    @property
    def output(self) -> str:
        """Name of the last layer."""
        return self.layers[-1].name

    @property
    def names(self) -> tuple[str, str]:
        """What clients call input and output."""
        given, made = self.tensors or (self.input, self.output)
        return given, made

    @property
    def given_shape(self) -> Shape:
        """Shape of a row as clients bring it."""
        return (self.shape[-1], *self.shape[:-1]) if self.transposed else self.shape

    def prepare(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Return rows as the firmware takes them, of rows as clients bring them.

        Parameters
        ----------
        rows : float array [N, *given_shape]

        Returns
        -------
        float64 array [N, *shape]
            A new one, channels last. Each number is ``number * factor + shift`` in float64, rounded to the nearest
            after the product and after the sum.

        Raises
        ------
        ConfigError
            If rows have another shape.
        """
        given = np.asarray(rows)
        if given.shape[1:] != self.given_shape:
            raise ConfigError(
                f"network {self.name!r} takes rows of {list(self.given_shape)}, given {list(given.shape)}"
            )
        made = np.array(np.moveaxis(given, 1, -1) if self.transposed else given, np.float64, order="C")
        if self.normalisation is not None:
            made *= self.normalisation.factor
            made += self.normalisation.shift
        return made

    @property
    def inputs_per_row(self) -> int:
        """Numbers that one row of a batch has."""
        return prod(self.shape)

    @property
    def outputs_per_row(self) -> int:
        """Numbers that come out for one row."""
        return prod(self.shapes[self.output])


def _check_finite(whose: str, part: Layer | Normalisation) -> None:
    for each in fields(part):
        value = getattr(part, each.name)
        if isinstance(value, float | np.ndarray) and not np.isfinite(value).all():
            raise ConfigError(f"{whose}: its {each.name} is not finite")
