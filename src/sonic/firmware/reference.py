"""What firmware gives, computed in numpy: what every emulator is compared with, bit for bit. Pure.

Fixed-point numbers are float64 here, and all sums are exact (:meth:`sonic.firmware.precision.Precision.check`), so that
no order of additions matters.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.network import Activation, Convolution, Dense, Flatten, Pooling, Scale, Sum, Upsampling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.network import Layer, Network
    from sonic.firmware.numbers import Fixed
    from sonic.firmware.precision import Precision

    Floats = NDArray[np.float64]

    Cast = Callable[[Fixed, Any], Any]
    """Makes of exact numbers those of a type."""


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


def trace(network: Network, precision: Precision | None, rows: Any, cast: Cast | None = None) -> Mapping[str, Any]:
    """Return what the input and each layer give, by name.

    Parameters
    ----------
    network : Network
    precision : Precision or None
        As for :func:`evaluate`.
    rows : array [N, *network.shape]
        Of numbers, or of whatever numpy's functions take.
    cast : callable, optional
        As rows of something else need it; :meth:`~sonic.firmware.numbers.Fixed.quantise` unless given.
    """
    cast = cast or (lambda number, values: number.quantise(values))
    if precision is not None:
        precision.check(network)
        rows = cast(precision.input, rows)
    values: dict[str, Any] = {network.input: rows}
    for layer in network.layers:
        values[layer.name] = _layer(layer, precision, [values[name] for name in layer.inputs], cast)
    return values


def _layer(layer: Layer, precision: Precision | None, inputs: list[Any], cast: Cast) -> Any:
    first = inputs[0]
    if isinstance(layer, Upsampling):
        return _repeated(first, layer.times)
    if isinstance(layer, Flatten):
        return first.reshape(first.shape[0], prod(first.shape[1:]))
    types = None if precision is None else precision.of(layer.name)
    weight = _as_it_is if types is None else types.weight.quantise
    bias = _as_it_is if types is None else types.bias.quantise
    if isinstance(layer, Dense):
        exact = first @ weight(layer.weight) + bias(layer.bias)
    elif isinstance(layer, Convolution):
        padded = np.pad(first, ((0, 0), *layer.pads, (0, 0)))
        windows = _windows(padded, layer.weight.shape[:-2], layer.strides)
        taken = weight(layer.weight).reshape(-1, layer.weight.shape[-1])
        exact = windows.reshape(*windows.shape[:-2], len(taken)) @ taken
        exact = exact + bias(layer.bias)
    elif isinstance(layer, Pooling):
        windows = _windows(first, layer.size, layer.strides)
        exact = np.max(windows, axis=-2) if layer.kind == "max" else np.sum(windows, axis=-2) * (1 / prod(layer.size))
    elif isinstance(layer, Activation):
        below = first * float(weight(layer.slope)) if layer.kind == "leaky_relu" else first * 0.0
        exact = np.where(first > 0, first, below)
    elif isinstance(layer, Scale):
        exact = first * weight(layer.factor) + bias(layer.shift)
    elif isinstance(layer, Sum):
        exact = first + inputs[1]
    else:
        raise ConfigError(f"layer {layer.name!r}: {type(layer).__name__} has no meaning in fixed point")
    return exact if types is None else cast(types.result, exact)


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
