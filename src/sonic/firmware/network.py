"""A network as firmware has it: a list of layers, channels last, without a batch. Pure.

Normalisations are gone, taken into the layers beside them, or scales of their own where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Literal

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Weights = NDArray[np.float64]
    Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What all layers have.

    Parameters
    ----------
    name : str
        An identifier of C.
    inputs : tuple of str
        Names of layers, or of the network's input.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Layer):
    """A product with a matrix, and a bias.

    Parameters
    ----------
    weight : float64 array [inputs, outputs]
    bias : float64 array [outputs]
    """

    weight: Weights
    bias: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Convolution(Layer):
    """A convolution in one or two dimensions.

    Parameters
    ----------
    weight : float64 array [*size, channels in, channels out]
    bias : float64 array [channels out]
    strides : tuple of int
    pads : tuple of (int, int)
        Zeros before and after, of each dimension.
    """

    weight: Weights
    bias: Weights
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pooling(Layer):
    """The largest or the mean of each window, channel by channel; windows lie within the image.

    Parameters
    ----------
    kind : {"max", "average"}
    size, strides : tuple of int
    """

    kind: Literal["max", "average"]
    size: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Activation(Layer):
    """A function of each number.

    Parameters
    ----------
    kind : {"relu", "leaky_relu"}
    slope : float
        Of a leaky one, below zero.
    """

    kind: Literal["relu", "leaky_relu"]
    slope: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Scale(Layer):
    """A factor and a shift for each channel: a normalisation that no other layer could take in.

    Parameters
    ----------
    factor, shift : float64 array [channels]
    """

    factor: Weights
    shift: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Flatten(Layer):
    """All numbers in one row, the last dimension running fastest."""


@dataclass(frozen=True, slots=True, eq=False)
class Sum(Layer):
    """The sum of two tensors of one shape."""


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

    Attributes
    ----------
    shapes : mapping of str to tuple of int
        Of the input and of each layer's output.

    Raises
    ------
    ConfigError
        If shapes do not fit.
    """

    name: str
    input: str
    shape: Shape
    layers: tuple[Layer, ...]
    transposed: bool = False
    tensors: tuple[str, ...] = ()
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

    @property
    def inputs_per_row(self) -> int:
        """Numbers that one row of a batch has."""
        return prod(self.shape)

    @property
    def outputs_per_row(self) -> int:
        """Numbers that come out for one row."""
        return prod(self.shapes[self.output])


def output_shape(layer: Layer, given: list[Shape]) -> Shape:
    """Return the shape that a layer gives for those of its inputs.

    Raises
    ------
    ConfigError
        If it cannot take them.
    """
    first = given[0]
    if isinstance(layer, Dense):
        if first[-1:] != layer.weight.shape[:1] or layer.bias.shape != layer.weight.shape[1:]:
            raise _unlike(layer, f"{layer.weight.shape[0]} numbers", first)
        return (*first[:-1], layer.weight.shape[1])
    if isinstance(layer, Convolution):
        if len(first) != len(layer.strides) + 1 or first[-1] != layer.weight.shape[-2]:
            raise _unlike(layer, f"{len(layer.strides)} dimensions and {layer.weight.shape[-2]} channels", first)
        padded = [n + sum(pad) for n, pad in zip(first[:-1], layer.pads, strict=True)]
        return (*_windows(layer, padded, layer.weight.shape[:-2], layer.strides), layer.weight.shape[-1])
    if isinstance(layer, Pooling):
        if len(first) != len(layer.size) + 1:
            raise _unlike(layer, f"{len(layer.size)} dimensions and channels", first)
        return (*_windows(layer, first[:-1], layer.size, layer.strides), first[-1])
    if isinstance(layer, Scale):
        if first[-1:] != layer.factor.shape or layer.factor.shape != layer.shift.shape:
            raise _unlike(layer, f"{len(layer.factor)} channels", first)
        return first
    if isinstance(layer, Flatten):
        return (prod(first),)
    if isinstance(layer, Sum) and any(shape != first for shape in given[1:]):
        raise _unlike(layer, f"shape {list(first)}", given[1])
    return first


def _windows(layer: Layer, sizes: tuple[int, ...] | list[int], window: Shape, strides: Shape) -> tuple[int, ...]:
    counts = tuple((n - w) // s + 1 for n, w, s in zip(sizes, window, strides, strict=True))
    if any(count < 1 for count in counts):
        raise _unlike(layer, f"at least {list(window)}", tuple(sizes))
    return counts


def _unlike(layer: Layer, expected: str, given: Shape) -> ConfigError:
    return ConfigError(f"layer {layer.name!r} takes {expected}, given {list(given)}")
