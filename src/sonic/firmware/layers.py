"""The layers that firmware has: channels last, without a batch. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Literal

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from sonic.firmware.numbers import Overflow, Rounding

    Weights = NDArray[np.float64]
    Places = NDArray[np.int64]
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
    """A convolution in one or two dimensions; da4ml has more.

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
class Upsampling(Layer):
    """An image in which each number stands several times, beside and below itself.

    Parameters
    ----------
    times : tuple of int
        By dimension.
    """

    times: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Activation(Layer):
    """A function of each number.

    Parameters
    ----------
    kind : {"relu", "leaky_relu", "sigmoid", "tanh"}
        The last two are looked up in a table.
    slope : float
        Of a leaky one, below zero.
    """

    kind: Literal["relu", "leaky_relu", "sigmoid", "tanh"]
    slope: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class InverseRoot(Layer):
    """One over the root of a mean, of the sum that it is given; a normalisation of each row has one.

    Parameters
    ----------
    count : int
        Numbers in the sum.
    epsilon : float
        Added to the mean.
    """

    count: int
    epsilon: float


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
class Reshape(Layer):
    """The same numbers in another shape, the last dimension running fastest.

    Parameters
    ----------
    shape : tuple of int
    """

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Sum(Layer):
    """The sum of two tensors of one shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Difference(Layer):
    """The first of two tensors of one shape less the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Product(Layer):
    """The product of two tensors of one shape, number by number."""


@dataclass(frozen=True, slots=True, eq=False)
class Concatenation(Layer):
    """Two tensors beside each other, the channels of the first before those of the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Softmax(Layer):
    """Exponentials of the numbers of a row over their sum."""


@dataclass(frozen=True, slots=True, eq=False)
class Recurrent(Layer):
    """A recurrent network over a sequence, from its first step on, whose state begins with zeros.

    A ``gru`` has gates z, r, h, and multiplies r with the whole of what the state gives for h; an ``lstm`` has i, f, c,
    o.

    Parameters
    ----------
    cell : {"gru", "lstm"}
    weight : float64 array [channels, gates * states]
    recurrent : float64 array [states, gates * states]
    bias, recurrent_bias : float64 array [gates * states]
    every_step : bool
        Whether it gives the state after each step, or after the last alone.
    """

    cell: Literal["gru", "lstm"]
    weight: Weights
    recurrent: Weights
    bias: Weights
    recurrent_bias: Weights
    every_step: bool = False

    @property
    def states(self) -> int:
        """Numbers of the state."""
        return len(self.recurrent)


@dataclass(frozen=True, slots=True, eq=False)
class Trees(Layer):
    """Decision trees, each of which adds the value of the leaf that a row comes to.

    Its thresholds are of the type of weights; its leaves, and what they are added to, of that of biases.

    Parameters
    ----------
    feature : int64 array [nodes]
        That a node looks at; -1: it is a leaf.
    threshold : float64 array [nodes]
        A row goes to the left if its feature is not above it.
    left, right : int64 array [nodes]
        Nodes that follow.
    value : float64 array [nodes]
        Of leaves.
    roots, outputs : int64 array [trees]
        Where each tree begins, and to which output it adds.
    start : float64 array [outputs]
        What the sums begin with.
    strict : bool
        Whether a row goes to the left only if its feature is below the threshold.
    """

    feature: Places
    threshold: Weights
    left: Places
    right: Places
    value: Weights
    roots: Places
    outputs: Places
    start: Weights
    strict: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Quantiser(Layer):
    """The same numbers in types of their own, as a training that looked for them has found them.

    Parameters
    ----------
    signed, total, integer : int64 array
        Of each number's type, of a shape that broadcasts to the input's; of no bits: it is zero.
    rounding, overflow : str
        As of :class:`~sonic.firmware.numbers.Fixed`.
    """

    signed: Places
    total: Places
    integer: Places
    rounding: Rounding
    overflow: Overflow


LAYERS: tuple[type[Layer], ...] = (
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Flatten,
    InverseRoot,
    Pooling,
    Product,
    Quantiser,
    Recurrent,
    Reshape,
    Scale,
    Softmax,
    Sum,
    Trees,
    Upsampling,
)
"""All kinds."""
MOVES = (Flatten, Reshape, Upsampling)
"""Kinds that give the numbers that they are given, of the same type."""
GATES = {"gru": 3, "lstm": 4}
"""Of each cell."""


def taking(layer: Layer, instead: Mapping[str, str]) -> Layer:
    """Return a layer with other inputs in place of those that are named."""
    return replace(layer, inputs=tuple(instead.get(name, name) for name in layer.inputs))


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
    if isinstance(layer, Upsampling):
        if len(first) != len(layer.times) + 1:
            raise _unlike(layer, f"{len(layer.times)} dimensions and channels", first)
        return (*(n * times for n, times in zip(first[:-1], layer.times, strict=True)), first[-1])
    if isinstance(layer, Scale):
        if first[-1:] != layer.factor.shape or layer.factor.shape != layer.shift.shape:
            raise _unlike(layer, f"{len(layer.factor)} channels", first)
        return first
    if isinstance(layer, Flatten):
        return (prod(first),)
    if isinstance(layer, Reshape):
        if prod(layer.shape) != prod(first):
            raise _unlike(layer, f"{prod(layer.shape)} numbers", first)
        return layer.shape
    if isinstance(layer, Sum | Difference | Product) and given[1] != first:
        raise _unlike(layer, f"shape {list(first)}", given[1])
    if isinstance(layer, Concatenation):
        if given[1][:-1] != first[:-1]:
            raise _unlike(layer, f"shapes as {list(first)} but for the channels", given[1])
        return (*first[:-1], first[-1] + given[1][-1])
    if isinstance(layer, Softmax) and len(first) != 1:
        raise _unlike(layer, "numbers in a row", first)
    if isinstance(layer, Recurrent):
        return _recurrent_shape(layer, first)
    if isinstance(layer, Trees):
        if len(first) != 1 or first[0] <= layer.feature.max(initial=-1):
            raise _unlike(layer, f"at least {layer.feature.max(initial=-1) + 1} numbers in a row", first)
        return layer.start.shape
    return first


def _recurrent_shape(layer: Recurrent, given: Shape) -> Shape:
    gates = (GATES[layer.cell] * layer.states,)
    rows = layer.weight.shape[1:], layer.recurrent.shape[1:], layer.bias.shape, layer.recurrent_bias.shape
    if any(shape != gates for shape in rows):
        raise ConfigError(f"layer {layer.name!r}: its weights and biases are not all of {gates[0]} numbers a row")
    if len(given) != 2 or given[1] != layer.weight.shape[0]:
        raise _unlike(layer, f"steps of {layer.weight.shape[0]} numbers", given)
    return (given[0], layer.states) if layer.every_step else (layer.states,)


def _windows(layer: Layer, sizes: tuple[int, ...] | list[int], window: Shape, strides: Shape) -> tuple[int, ...]:
    counts = tuple((n - w) // s + 1 for n, w, s in zip(sizes, window, strides, strict=True))
    if any(count < 1 for count in counts):
        raise _unlike(layer, f"at least {list(window)}", tuple(sizes))
    return counts


def _unlike(layer: Layer, expected: str, given: Shape) -> ConfigError:
    return ConfigError(f"layer {layer.name!r} takes {expected}, given {list(given)}")
