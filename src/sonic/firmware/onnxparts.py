"""What reading ONNX models needs of padding, channels, and the order of numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import Convolution, Dense, Flatten, InverseRoot, Pooling, Product, Scale, Upsampling, taking
from sonic.firmware.network import Normalisation
from sonic.firmware.reading import same_pads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network

    Weights = NDArray[np.float64]


_OF_IMAGES = ("AveragePool", "BatchNormalization", "Conv", "Expand", "GlobalAveragePool", "GlobalMaxPool", "MaxPool",
              "ReduceMax", "ReduceMean", "Resize", "Upsample")  # fmt: skip
_ONE_BY_ONE = ("Add", "Div", "Dropout", "Identity", "IntQuant", "LeakyRelu", "Mul", "Quant", "Relu", "Sigmoid",
               "Squeeze", "Sub", "Tanh", "Trunc", "Unsqueeze")  # fmt: skip
"""Operators that leave the order of numbers as it is, and how many there are."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What ONNX calls by one name.

    Parameters
    ----------
    layer : str
        Which gives it.
    shape : tuple of int
        As in ONNX, without the batch.
    order : tuple of int
        Where each of ONNX's dimensions is in ours; -1 for one of size 1 that ours has not.
    places : int array or None
        Of a flattened image: where each of ONNX's numbers is in ours.
    batch : int
        Where ONNX has the batch.
    """

    layer: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    places: NDArray[np.int64] | None = None
    batch: int = 0


def sizes_with_batch(given: Tensor) -> list[int | None]:
    """Return ONNX's sizes, with None for the batch."""
    sizes: list[int | None] = list(given.shape)
    sizes.insert(given.batch, None)
    return sizes


def for_the_host(given: str, layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], Normalisation | None]:
    """Take out the normalisation that layers begin with, if nothing else takes what it normalises."""
    before, first = given, _only(layers, given)
    while isinstance(first, Upsampling):  # before which it might be as well
        before, first = first.name, _only(layers, first.name)
    if not isinstance(first, Scale) or first is layers[-1]:
        return layers, None
    rest = tuple(taking(layer, {first.name: before}) for layer in layers if layer is not first)
    return rest, Normalisation(first.factor, first.shift)


def without_means(network: Network) -> Network:
    """Make products of means that fixed point has not.

    A ninth is no number of fixed point. A product behind the mean of a whole image can be had of all nine, with a ninth
    of its weights; any other mean becomes a convolution by a ninth, rounded as weights are.
    """
    layers = network.layers
    for mean in layers:
        if not isinstance(mean, Pooling) or mean.kind != "average":
            continue
        flat = _only(layers, mean.name)
        product = _only(layers, flat.name) if isinstance(flat, Flatten) else None
        count, whole = prod(mean.size), mean.size == network.shapes[mean.inputs[0]][:-1]
        if flat is None or not isinstance(product, Dense) or not whole or not count & (count - 1):
            continue
        weight = np.tile(product.weight / count, (count, 1))
        changed = {flat: replace(flat, inputs=mean.inputs), product: replace(product, weight=weight)}
        layers = tuple(changed.get(layer, layer) for layer in layers if layer is not mean)
    return replace(network, layers=tuple(_without_mean(layer, network.shapes[layer.name][-1]) for layer in layers))


def _without_mean(layer: Layer, channels: int) -> Layer:
    if not isinstance(layer, Pooling) or layer.kind != "average" or not (count := prod(layer.size)) & (count - 1):
        return layer
    weight = np.broadcast_to(np.eye(channels) / count, (*layer.size, channels, channels)).copy()
    return Convolution(layer.name, layer.inputs, weight, np.zeros(channels), layer.strides, ((0, 0),) * len(layer.size))


def row_normalisation(name: str, centred: str, scale: Weights, shift: Weights, epsilon: float) -> tuple[Layer, ...]:
    """Return the layers that normalise each row of numbers (LayerNormalization), whose mean was taken off before.

    Their squares are summed, what one over the root of that is stands in a table, and each is multiplied with it.
    """
    ones = np.ones((len(scale), 1))
    return (
        Product(f"{name}_square", (centred, centred)),
        Dense(f"{name}_sum", (f"{name}_square",), ones, np.zeros(1)),
        InverseRoot(f"{name}_root", (f"{name}_sum",), len(scale), epsilon),
        Dense(f"{name}_each", (f"{name}_root",), ones.T, np.zeros(len(scale))),
        Product(f"{name}_norm", (centred, f"{name}_each")),
        Scale(f"{name}_out", (f"{name}_norm",), scale, shift),
    )


def _only(layers: tuple[Layer, ...], name: str) -> Layer | None:
    """Return the layer that takes what is given by this name, if it is the only one."""
    takers = [layer for layer in layers if name in layer.inputs]
    return takers[0] if len(takers) == 1 else None


def pads(
    attributes: Mapping[str, Any], sizes: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Return zeros before and after, by dimension."""
    kind = attributes.get("auto_pad", b"NOTSET").decode()
    if kind.startswith("SAME"):
        smaller = [same_pads(*each) for each in zip(sizes, window, strides, strict=True)]
        return tuple(smaller if kind == "SAME_UPPER" else [(after, before) for before, after in smaller])
    given = attributes.get("pads", [0] * 2 * len(window)) if kind == "NOTSET" else [0] * 2 * len(window)
    return tuple(zip(given[: len(window)], given[len(window) :], strict=True))


def by_channel(numbers: Weights, shape: tuple[int, ...], axis: int) -> Weights:
    """Return a number for each channel, of those that ONNX broadcasts to a batch of a shape.

    ONNX lays shapes side by side from their ends: a row of numbers beside an image goes along its last dimension.

    Raises
    ------
    ConfigError
        If they differ along another dimension than that of the channels.
    """
    sizes = [1] * (1 + len(shape) - numbers.ndim) + list(numbers.shape)
    ours = [1] * (1 + len(shape))
    ours[1 + axis] = shape[axis]
    if len(sizes) != len(ours) or any(size not in (1, most) for size, most in zip(sizes, ours, strict=True)):
        raise ConfigError(
            f"it has numbers of shape {list(numbers.shape)} for {list(shape)}, and firmware one for each channel"
        )
    return np.broadcast_to(numbers.reshape(-1), (shape[axis],)).copy()


def takes_images(nodes: Iterable[Any], name: str) -> bool:
    """Whether an input, as it is or with its numbers changed one by one, goes where channels come first."""
    alike = {name}
    for node in nodes:
        if not alike.isdisjoint(node.input):
            joins = node.op_type == "Concat" and any((each.name, each.i) == ("axis", 1) for each in node.attribute)
            if joins or node.op_type in _OF_IMAGES:
                return True
            if node.op_type in _ONE_BY_ONE:
                alike.update(node.output)
    return False
