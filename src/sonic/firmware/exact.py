"""The numbers of a network whose training has chosen them: what it leaves open is wide enough to be exact. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil, frexp, log2, prod
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import (
    MOVES,
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Pooling,
    Quantiser,
    Scale,
    Sum,
    taking,
)
from sonic.firmware.numbers import DEFAULT, MAX_BITS, Fixed
from sonic.firmware.precision import Precision, Types
from sonic.firmware.quantiser import only, types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network

    Weights = NDArray[np.float64]

_ZERO = Fixed(1, 1)


def exactly(network: Network) -> tuple[Network, Precision]:
    """Return a network and numbers with which only its quantisers round.

    Quantisers with one type are gone in what is returned: it is the type of the input, or of what the layer before
    gives.

    Raises
    ------
    ConfigError
        If a weight is no number of fixed point, a sum needs more than 32 bits, or there is a layer that is never exact.
    """
    takers = Counter(name for layer in network.layers for name in layer.inputs)
    kept: dict[str, Layer] = {}
    chosen: dict[str, Types] = {}
    called = {network.input: network.input}  # what is left of each layer
    numbers = {network.input: _entrance(network)}
    for layer in network.layers:
        before = called[layer.inputs[0]]
        if isinstance(layer, Quantiser):
            number = only(layer, network.shapes[layer.name])
            # What a quantiser has made already, or another layer takes as it is, stays.
            free = layer.inputs[0] == before and takers[before] == 1
            if number is not None and free and not isinstance(kept.get(before), (*MOVES, Quantiser)):
                called[layer.name] = before
                numbers[before] = number
                if before != network.input:
                    chosen[before] = replace(chosen[before], result=number)
                continue
        taken = taking(layer, called)
        called[layer.name] = layer.name
        kept[layer.name] = taken
        if isinstance(layer, MOVES):
            numbers[layer.name] = numbers[before]
            continue
        chosen[layer.name] = _types(taken, network, [numbers[name] for name in taken.inputs])
        numbers[layer.name] = chosen[layer.name].result
    return replace(network, layers=tuple(kept.values())), Precision(numbers[network.input], Types(), chosen)


def _entrance(network: Network) -> Fixed:
    """Return a type of the input from which each of its quantisers makes what it makes of the number itself.

    What is rounded to the nearest needs one bit more, which says on which side of the middle it is.
    """
    alike, found = {network.input}, list[Fixed]()
    for layer in network.layers:
        if alike.isdisjoint(layer.inputs):
            continue
        if isinstance(layer, MOVES):
            alike.add(layer.name)
        elif isinstance(layer, Quantiser):
            found += [number for number, _ in types(layer, network.shapes[layer.name]) if number is not None]
        else:
            return DEFAULT  # it takes numbers that no training has chosen
    if not found:
        return DEFAULT
    wraps, signed = {number.overflow == "WRAP" for number in found}, any(number.signed for number in found)
    if len(wraps) > 1:
        raise ConfigError("the input both wraps and saturates, and firmware has one type for it")
    fraction = max(number.fraction + (number.rounding == "RND") for number in found)
    integer = max(number.integer + (signed and not number.signed) for number in found)
    try:
        return Fixed(max(integer + fraction, 1), integer, signed, overflow="WRAP" if wraps == {True} else "SAT")
    except ConfigError as error:
        raise ConfigError(f"the input needs a type for all of its quantisers: {error}") from None


def holding(values: Weights, where: str) -> Fixed:
    """Return the narrowest type that has all numbers.

    Raises
    ------
    ConfigError
        If none of 32 bits has; with where they are.
    """
    fraction = max((_fraction(value) for value in np.unique(values).tolist() if value), default=0)
    try:
        return _spanning(float(values.min(initial=0.0)), float(values.max(initial=0.0)), fraction)
    except ConfigError:
        raise ConfigError(
            f"{where}: no number of fixed point with {MAX_BITS} bits: quantise with scales that are powers of 2"
        ) from None


def _fraction(value: float) -> int:
    """Bits behind the point that a number has."""
    mantissa, exponent = frexp(value)
    whole = int(mantissa * 2**53)
    return 53 - exponent - ((whole & -whole).bit_length() - 1)


def _spanning(low: float, high: float, fraction: int) -> Fixed:
    """Return the narrowest type with so many bits behind the point that reaches from one number to another."""
    signed = low < 0
    reach = max(-low, high + 2.0**-fraction)
    integer = ceil(log2(reach)) + signed
    return Fixed(max(integer + fraction, 1), integer if integer + fraction >= 1 else 1 - fraction, signed)


def _types(layer: Layer, network: Network, given: list[Fixed]) -> Types:
    """Return numbers with which a layer rounds nothing."""
    first = given[0]
    low, high, fraction = first.lowest, first.highest, first.fraction
    weight = bias = _ZERO
    if isinstance(layer, Quantiser):
        ranges = [number or _ZERO for number, _ in types(layer, network.shapes[layer.name])]
        low, high = min(each.lowest for each in ranges), max(each.highest for each in ranges)
        fraction = max(each.fraction for each in ranges)
    elif isinstance(layer, Dense | Convolution | Scale):
        values, shift = (layer.factor, layer.shift) if isinstance(layer, Scale) else (layer.weight, layer.bias)
        weight, bias = holding(values, f"weights of {layer.name!r}"), holding(shift, f"biases of {layer.name!r}")
        flat = values[None] if isinstance(layer, Scale) else values.reshape(-1, values.shape[-1])
        if isinstance(layer, Convolution) and any(map(any, layer.pads)):
            low, high = min(low, 0.0), max(high, 0.0)
        ends = flat * low, flat * high
        low = float((np.minimum(*ends).sum(0) + shift).min())
        high = float((np.maximum(*ends).sum(0) + shift).max())
        fraction = max(first.fraction + weight.fraction, bias.fraction)
    elif isinstance(layer, Activation) and layer.kind == "relu":
        low = 0.0
    elif isinstance(layer, Activation) and layer.kind == "leaky_relu":
        weight = holding(np.array([layer.slope]), f"slope of {layer.name!r}")
        below = low * layer.slope  # above zero where the slope is below
        low, high, fraction = min(below, 0.0), max(high, below), first.fraction + max(weight.fraction, 0)
    elif isinstance(layer, Pooling):
        fraction += ceil(log2(prod(layer.size))) if layer.kind == "average" else 0
    elif isinstance(layer, Sum | Difference | Concatenation):
        second = given[1]
        fraction = max(fraction, second.fraction)
        if isinstance(layer, Concatenation):
            low, high = min(low, second.lowest), max(high, second.highest)
        elif isinstance(layer, Difference):
            low, high = low - second.highest, high - second.lowest
        else:
            low, high = low + second.lowest, high + second.highest
    else:
        raise ConfigError(f"layer {layer.name!r}: {type(layer).__name__} is never exact: give a precision")
    try:
        return Types(_spanning(low, high, fraction), weight, bias)
    except ConfigError as error:
        raise ConfigError(
            f"layer {layer.name!r}: its results need more than {MAX_BITS} bits ({error}): quantise with fewer bits, "
            "and scales that are powers of 2"
        ) from None
