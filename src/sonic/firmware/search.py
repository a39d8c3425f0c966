"""The fewest bits with which a network stays within an error, layer by layer.

Integer bits follow from the numbers that rows of the workload and the weights have; results saturate, for what no row
had.
Fractions: first the same for all, as few as the error allows and one more; then taken away bit by bit, where the most
multiplications are first, until no layer can spare one. Nothing is random.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import ceil, log2, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, DataError, one_line
from sonic.firmware.layers import MOVES, Activation, Convolution, Dense, Product, Quantiser, Recurrent, Scale, Trees
from sonic.firmware.numbers import MAX_BITS, Fixed
from sonic.firmware.precision import Precision, Types
from sonic.firmware.reference import evaluate, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network

    Floats = NDArray[np.float64]

MAX_FRACTION = 16
_PARTS = ("weight", "result", "bias")
_SPARE = {Quantiser: "a training has chosen these numbers", Trees: "decision trees have none"}


@dataclass(frozen=True, slots=True)
class Point:
    """A choice of numbers.

    Parameters
    ----------
    precision : Precision
    error : float
        Root of the mean square by which outputs differ from float64's, over that of float64's outputs.
    bit_products : int
        Over all multiplications of a row, the bits of one factor times those of the other: about what they take.
    """

    precision: Precision
    error: float
    bit_products: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Parameters
    ----------
    best : Point
        The fewest bits.
    uniform : tuple of Point
        With the same fraction in all layers, the coarsest first.
    """

    best: Point
    uniform: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Error against cost, as a search went: what is drawn of it, and kept beside the numbers that it found.

    Parameters
    ----------
    bound : float
        Largest error allowed.
    uniform : tuple of (int, float)
        Bit products and error with one fraction for all layers, from one bit on.
    best : (int, float)
        Of what was found.
    """

    bound: float
    uniform: tuple[tuple[int, float], ...]
    best: tuple[int, float]

    @classmethod
    def of(cls, found: Found, bound: float) -> Curve:
        """Return that of a search."""
        points = ((each.bit_products, each.error) for each in found.uniform)
        return cls(bound, tuple(points), (found.best.bit_products, found.best.error))


def read_curve(file: Path) -> Curve:
    """Read what a search has written of itself beside its numbers.

    Raises
    ------
    DataError
        If there is none in the file.
    """
    try:
        kept = json.loads(file.read_text())["search"]
        points = tuple((int(cost), float(error)) for cost, error in kept["uniform"])
        cost, error = kept["best"]
        return Curve(float(kept["bound"]), points, (int(cost), float(error)))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise DataError(f"{file} holds no search for numbers: {one_line(failure)}") from failure


def search(network: Network, rows: ArrayLike, bound: float, progress: Callable[[str], None] | None = None) -> Found:
    """Search numbers for a network.

    Parameters
    ----------
    network : Network
    rows : float array [N, *network.shape]
        Of the workload; some thousand are enough.
    bound : float
        Largest error, as of a :class:`Point`.
    progress : callable of str, optional
        Told of each choice that is better than those before.

    Raises
    ------
    ConfigError
        If there are no finite rows, 16 bits behind the point are not enough, or there are decision trees or numbers
        that a training has chosen.
    """
    given = np.asarray(rows, np.float64)
    for layer in network.layers:
        if isinstance(layer, Quantiser | Trees):
            raise ConfigError(f"layer {layer.name!r}: a search takes bits from products, and {_SPARE[type(layer)]}")
    if not 0 < bound < 1:
        raise ConfigError(f"the largest error is between 0 and 1, given {bound:g}")
    if not given.size or not np.isfinite(given).all():
        raise ConfigError("the rows to search with are finite, and not none")
    exact = evaluate(network, None, given)
    scale = float(np.sqrt(np.mean(exact**2))) or 1.0
    integers = _integer_bits(network, given)

    def point(precision: Precision) -> Point:
        apart = evaluate(network, precision, given) - exact
        return Point(precision, float(np.sqrt(np.mean(apart**2))) / scale, bit_products(network, precision))

    uniform: list[Point] = []
    for fraction in range(1, MAX_FRACTION + 1):
        uniform.append(point(_precision(network, integers, fraction)))
        if uniform[-1].error <= bound:
            break
    else:
        raise ConfigError(f"{MAX_FRACTION} bits behind the point leave an error of {uniform[-1].error:.2g}")
    best = uniform[-1]
    start = point(_precision(network, integers, min(len(uniform) + 1, MAX_FRACTION)))
    best = _reduce(network, start if start.error <= bound else best, bound, point, progress)
    if uniform[-1].bit_products < best.bit_products:
        best = uniform[-1]
    return Found(best, tuple(uniform))


def bit_products(network: Network, precision: Precision) -> int:
    """Return the bits of one factor times those of the other, over all multiplications of a row."""
    numbers = precision.numbers(network)

    def factor_bits(layer: Layer) -> int:
        other = numbers[layer.inputs[1]] if isinstance(layer, Product) else precision.of(layer.name).weight
        return numbers[layer.inputs[0]].total * other.total

    return sum(multiplications(network, layer) * factor_bits(layer) for layer in network.layers)


def _reduce(
    network: Network,
    best: Point,
    bound: float,
    point: Callable[[Precision], Point],
    progress: Callable[[str], None] | None,
) -> Point:
    """Take bits away, one at a time, until none can be spared."""
    products = {layer.name: multiplications(network, layer) for layer in network.layers}
    order = sorted(products, key=lambda name: -products[name])
    moves = {layer.name for layer in network.layers if isinstance(layer, MOVES)}
    weightless = {layer.name for layer in network.layers if isinstance(layer, Product) or not products[layer.name]}
    places = [
        (name, part)
        for part in _PARTS
        for name in order
        if name not in moves and (part == "result" or name not in weightless)
    ]
    spared = True
    while spared:
        spared = False
        for name, part in places:
            types = best.precision.of(name)
            number: Fixed = getattr(types, part)
            if number.total == 1:
                continue
            change: dict[str, Any] = {part: replace(number, total=number.total - 1)}
            fewer = replace(types, **change)
            tried = point(replace(best.precision, layers={**best.precision.layers, name: fewer}))
            if tried.error <= bound:
                best, spared = tried, True
                if progress is not None:
                    progress(f"{best.bit_products:,} bit products, error {best.error:.3g}")
    return best


def _integer_bits(network: Network, rows: Floats) -> Mapping[str, tuple[int, bool]]:
    """Bits before the point and whether there is a sign, of each layer's result, weights and biases."""
    bits = {name: _bits_for(values) for name, values in trace(network, None, rows).items()}
    for layer in network.layers:
        if isinstance(layer, Dense | Convolution):
            bits[f"{layer.name}.weight"], bits[f"{layer.name}.bias"] = _bits_for(layer.weight), _bits_for(layer.bias)
        elif isinstance(layer, Scale):
            bits[f"{layer.name}.weight"], bits[f"{layer.name}.bias"] = _bits_for(layer.factor), _bits_for(layer.shift)
        elif isinstance(layer, Activation):
            bits[f"{layer.name}.weight"] = _bits_for(np.array([layer.slope]))
        elif isinstance(layer, Recurrent):
            bits[f"{layer.name}.weight"] = _bits_for(np.concatenate([layer.weight, layer.recurrent]))
            bits[f"{layer.name}.bias"] = _bits_for(np.stack([layer.bias, layer.recurrent_bias]))
            # What it remembers is a result as well, and is not seen; an LSTM's is beyond 1.
            bits[layer.name] = _bits_for(np.array([-4.0 if layer.cell == "lstm" else -1.0]))
    return bits


def _bits_for(values: Floats) -> tuple[int, bool]:
    """Return the bits before the point that hold all values, the sign's among them, and whether one is below zero."""
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    signed = low < 0
    # The largest number of a type is a step below a power of two.
    reach = max(-low, np.nextafter(high, np.inf))
    return (ceil(log2(reach)) if reach > 1e-9 else -MAX_FRACTION) + signed, signed


def _precision(network: Network, integers: Mapping[str, tuple[int, bool]], fraction: int) -> Precision:
    def number(name: str, *, result: bool = False) -> Fixed:
        integer, signed = integers.get(name, (1, True))
        total = min(max(integer + fraction, 1), MAX_BITS)
        # One bit more before the point, for rows that reach further, and what still does not fit saturates.
        if result:
            return Fixed(min(total + 1, MAX_BITS), integer + 1, signed, "RND", "SAT")
        return Fixed(total, integer, signed, "RND", "SAT")

    table = Fixed(fraction + 2, 2, rounding="RND", overflow="SAT")
    layers = {
        layer.name: Types(
            number(layer.name, result=True), number(f"{layer.name}.weight"), number(f"{layer.name}.bias"), table
        )
        for layer in network.layers
        if not isinstance(layer, MOVES)
    }
    return Precision(number(network.input, result=True), Types(), layers)


def multiplications(network: Network, layer: Layer) -> int:
    """Return how many a layer does for a row; a product with a matrix, as a convolution, is done at each place."""
    made = network.shapes[layer.name]
    if isinstance(layer, Dense | Convolution):
        return layer.weight.size * prod(made[:-1])
    if isinstance(layer, Recurrent):
        return (layer.weight.size + layer.recurrent.size) * network.shapes[layer.inputs[0]][0]
    return prod(made) if isinstance(layer, Scale | Product) else 0
