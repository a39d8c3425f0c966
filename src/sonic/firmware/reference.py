"""What firmware gives, computed in numpy: what every emulator is compared with, bit for bit. Pure.

Fixed-point numbers are float64 here, and all sums are exact (:meth:`sonic.firmware.precision.Precision.check`), so that
no order of additions matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware import quantiser
from sonic.firmware.layers import (
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
from sonic.firmware.recurrent import run
from sonic.firmware.tables import REACH, exact, exponentials, inverse_root, looked_up, reciprocals, softmax_types
from sonic.firmware.trees import scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network
    from sonic.firmware.numbers import Fixed, Types
    from sonic.firmware.precision import Precision

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What is done to numbers besides sums and products; to symbols it is done otherwise.

    Parameters
    ----------
    cast : callable of Fixed, array -> array
        Makes of exact numbers those of a type.
    apply : callable of function, array -> array
        Applies a function of float64 arrays to each number; what it gives is cast next.
    """

    cast: Callable[[Fixed, Any], Any] = lambda number, values: number.quantise(values)
    apply: Callable[[Callable[[Floats], Floats], Any], Any] = lambda function, values: function(values)


NUMBERS = Arithmetic()
"""Of numpy's arrays."""


def evaluate(network: Network, precision: Precision | None, rows: ArrayLike) -> Floats:
    """Return what a network in fixed point gives.

    Parameters
    ----------
    network : Network
    precision : Precision or None
        None: what it gives in float64, without fixed point.
    rows : float array [N, *network.shape]
        What the input's type does not hold becomes what it makes of it; NaN and infinities give NaN.

    Returns
    -------
    float64 array [N, *shape of the output]

    Raises
    ------
    ConfigError
        If shapes do not fit, or a sum needs more bits than float64 has.
    """
    given = np.asarray(rows, np.float64)
    if given.shape[1:] != network.shape:
        raise ConfigError(f"network {network.name!r} takes rows of {list(network.shape)}, given {list(given.shape)}")
    result: Floats = trace(network, precision, given)[network.output]
    return result


def trace(
    network: Network, precision: Precision | None, rows: Any, arithmetic: Arithmetic = NUMBERS
) -> Mapping[str, Any]:
    """Return what the input and each layer give, by name.

    Parameters
    ----------
    network : Network
    precision : Precision or None
        As for :func:`evaluate`.
    rows : array [N, *network.shape]
        Of numbers, or of whatever numpy's functions take.
    arithmetic : Arithmetic
        As rows of something else need it.
    """
    numbers: Mapping[str, Fixed] = {}
    if precision is not None:
        precision.check(network)
        rows = arithmetic.cast(precision.input, rows)
        numbers = precision.numbers(network)
    values: dict[str, Any] = {network.input: rows}
    for layer in network.layers:
        given = [values[name] for name in layer.inputs]
        if isinstance(layer, Flatten | Reshape):
            values[layer.name] = given[0].reshape(given[0].shape[0], *network.shapes[layer.name])
        elif isinstance(layer, Upsampling):
            values[layer.name] = _repeated(given[0], layer.times)
        elif precision is None:
            values[layer.name] = _floating(layer, given)
        else:
            values[layer.name] = _fixed(layer, precision.of(layer.name), numbers[layer.inputs[0]], given, arithmetic)
    return values


def _floating(layer: Layer, given: list[Any]) -> Any:
    if isinstance(layer, Softmax):
        powers = np.exp(given[0] - np.max(given[0], axis=-1, keepdims=True))
        return powers / np.sum(powers, axis=-1, keepdims=True)
    if isinstance(layer, Recurrent):
        return run(layer, given[0], None)
    if isinstance(layer, Quantiser):
        return given[0]
    if isinstance(layer, InverseRoot):
        return inverse_root(layer.count, layer.epsilon)(given[0])
    if isinstance(layer, Activation) and layer.kind in REACH:
        return exact(layer.kind, given[0])
    return _exactly(layer, given, _as_it_is, _as_it_is)


def _fixed(layer: Layer, types: Types, number: Fixed, given: list[Any], arithmetic: Arithmetic) -> Any:
    """Compute a layer; `number` is the type of its first input."""
    if isinstance(layer, Softmax):
        return _softmax(types, given[0], arithmetic)
    if isinstance(layer, Quantiser):
        return arithmetic.cast(types.result, quantiser.cast(layer, arithmetic.cast, given[0]))
    if isinstance(layer, Recurrent):
        return run(layer, given[0], types, number)
    if isinstance(layer, Activation) and layer.kind in REACH:
        made = arithmetic.apply(looked_up(layer.kind, types.table, types.table_size), given[0])
    elif isinstance(layer, InverseRoot):
        made = arithmetic.apply(inverse_root(layer.count, layer.epsilon), given[0])
    else:
        made = _exactly(layer, given, types.weight.quantise, types.bias.quantise)
    return arithmetic.cast(types.result, made)


def _softmax(types: Types, given: Any, arithmetic: Arithmetic) -> Any:
    """Do as hls4ml's ``softmax_stable`` does."""
    table, size = types.table, types.table_size
    below, whole, address = softmax_types(table, size, given.shape[-1])
    apart = arithmetic.cast(below, np.max(given, axis=-1, keepdims=True) - given)
    powers = arithmetic.cast(whole, arithmetic.apply(exponentials(table, size), apart))
    total = arithmetic.cast(address, np.sum(powers, axis=-1, keepdims=True))
    inverse = arithmetic.cast(table, arithmetic.apply(reciprocals(table, size, address), total))
    return arithmetic.cast(types.result, powers * inverse)


def _exactly(layer: Layer, given: list[Any], weight: Any, bias: Any) -> Any:
    """Compute a layer of sums and products, with weights and biases made of theirs."""
    first = given[0]
    if isinstance(layer, Dense):
        return first @ weight(layer.weight) + bias(layer.bias)
    if isinstance(layer, Convolution):
        padded = np.pad(first, ((0, 0), *layer.pads, (0, 0)))
        windows = _windows(padded, layer.weight.shape[:-2], layer.strides)
        taken = weight(layer.weight).reshape(-1, layer.weight.shape[-1])
        return windows.reshape(*windows.shape[:-2], len(taken)) @ taken + bias(layer.bias)
    if isinstance(layer, Pooling):
        windows = _windows(first, layer.size, layer.strides)
        return np.max(windows, axis=-2) if layer.kind == "max" else np.sum(windows, axis=-2) * (1 / prod(layer.size))
    if isinstance(layer, Activation):
        below = first * float(weight(layer.slope)) if layer.kind == "leaky_relu" else first * 0.0
        return np.where(first > 0, first, below)
    if isinstance(layer, Scale):
        return first * weight(layer.factor) + bias(layer.shift)
    if isinstance(layer, Sum):
        return first + given[1]
    if isinstance(layer, Difference):
        return first - given[1]
    if isinstance(layer, Product):
        return first * given[1]
    if isinstance(layer, Concatenation):
        return np.concatenate(given, axis=-1)
    if isinstance(layer, Trees):
        return scores(layer, weight(layer.threshold), bias(layer.value), bias(layer.start), first)
    raise ConfigError(f"layer {layer.name!r}: {type(layer).__name__} has no meaning in fixed point")


def _as_it_is(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64)


def _repeated(images: Any, times: tuple[int, ...]) -> Any:
    """Return images [N, *positions, channels] in which each number stands several times."""
    for axis, count in enumerate(times, 1):
        images = images[(slice(None),) * axis + (np.repeat(np.arange(images.shape[axis]), count),)]
    return images


def _windows(images: Any, size: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """Return the windows of images [N, *positions, channels] as [N, *positions, numbers of a window, channels]."""
    axes = tuple(range(1, 1 + len(size)))
    views = np.lib.stride_tricks.sliding_window_view(images, size, axis=axes)
    views = views[(slice(None), *(slice(None, None, step) for step in strides))]
    views = np.moveaxis(views, 1 + len(size), -1)
    return views.reshape(*views.shape[: 1 + len(size)], prod(size), views.shape[-1])
