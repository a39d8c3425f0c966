"""Which numbers each layer of a network computes with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2, prod
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.firmware.layers import MOVES
from sonic.firmware.network import Convolution, Dense, Pooling, Scale
from sonic.firmware.numbers import Fixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.firmware.network import Layer, Network

DEFAULT = Fixed(16, 6)
"""As hls4ml has it unless told otherwise."""
_EXACT_BITS = 53
"""Of float64, in which the reference computes."""


@dataclass(frozen=True, slots=True)
class Types:
    """The numbers of one layer.

    Parameters
    ----------
    result : Fixed
        What it gives; sums before are exact.
    weight, bias : Fixed
        Of a layer that has some.
    """

    result: Fixed = DEFAULT
    weight: Fixed = DEFAULT
    bias: Fixed = DEFAULT


@dataclass(frozen=True, slots=True)
class Precision:
    """The numbers of a network.

    Parameters
    ----------
    input : Fixed
    default : Types
        Of layers that are not named.
    layers : mapping of str to Types
    """

    input: Fixed = DEFAULT
    default: Types = Types()
    layers: Mapping[str, Types] = field(default_factory=dict)

    @classmethod
    def uniform(cls, number: Fixed) -> Precision:
        """One type for everything."""
        return cls(number, Types(number, number, number))

    def of(self, layer: str) -> Types:
        """Return the numbers of a layer."""
        return self.layers.get(layer, self.default)

    def numbers(self, network: Network) -> dict[str, Fixed]:
        """Return the type of the input and of what each layer gives; those that only move numbers have no own."""
        found = {network.input: self.input}
        for layer in network.layers:
            moves = isinstance(layer, MOVES)
            found[layer.name] = found[layer.inputs[0]] if moves else self.of(layer.name).result
        return found

    def check(self, network: Network) -> None:
        """Check that it names layers that there are, and that every sum is exact in the reference.

        Raises
        ------
        ConfigError
            With layer, bits that its sums would need, and those that there are.
        """
        names = {layer.name for layer in network.layers}
        if unknown := sorted(set(self.layers) - names):
            raise ConfigError(f"a precision is given for {unknown[0]!r}: the layers are {', '.join(sorted(names))}")
        numbers = self.numbers(network)
        for layer in network.layers:
            given = numbers[layer.inputs[0]]
            if isinstance(layer, Pooling) and layer.kind == "average" and (count := prod(layer.size)) & (count - 1):
                raise ConfigError(
                    f"layer {layer.name!r}: the mean of {count} numbers is no number of fixed point; a power of 2 is"
                )
            bits = _sum_bits(layer, given, self.of(layer.name))
            if bits > _EXACT_BITS:
                raise ConfigError(f"layer {layer.name!r}: its sums need {bits} bits, and {_EXACT_BITS} can be had")


def _sum_bits(layer: Layer, given: Fixed, types: Types) -> int:
    """Bits of the largest sum of a layer, with those of its bias."""
    if isinstance(layer, Dense | Convolution):
        terms = prod(layer.weight.shape[:-1]) + 1
    elif isinstance(layer, Scale):
        terms = 2
    elif isinstance(layer, Pooling):
        return given.total + ceil(log2(prod(layer.size)))
    else:
        return given.total + 1
    fraction = max(given.fraction + types.weight.fraction, types.bias.fraction)
    integer = max(given.integer + types.weight.integer, types.bias.integer)
    return fraction + integer + ceil(log2(terms))
