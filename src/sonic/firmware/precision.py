"""Which numbers each layer of a network computes with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2, prod
from typing import TYPE_CHECKING

from sonic.errors import ConfigError
from sonic.firmware.layers import (
    MOVES,
    Activation,
    Convolution,
    Dense,
    Pooling,
    Product,
    Recurrent,
    Scale,
    Softmax,
    Trees,
)
from sonic.firmware.numbers import DEFAULT, Types
from sonic.firmware.recurrent import accumulator
from sonic.firmware.tables import REACH
from sonic.firmware.trees import most

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network
    from sonic.firmware.numbers import Fixed

__all__ = ["Precision", "Types", "looks_up"]

_TABLE_SIZES = 16, 65536
_ADDRESS_BITS = 31
"""Before entries beyond a table's ends are bounded to it."""
_EXACT_BITS = 53
"""Of float64, in which the reference computes."""


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
    default: Types = field(default_factory=Types)
    layers: Mapping[str, Types] = field(default_factory=dict)

    @classmethod
    def uniform(cls, number: Fixed) -> Precision:
        """One type for everything."""
        return cls(number, Types(number, number, number, number))

    def of(self, layer: str) -> Types:
        """Return the numbers of a layer."""
        return self.layers.get(layer, self.default)

    def numbers(self, network: Network) -> Mapping[str, Fixed]:
        """Return the type of the input and of what each layer gives; what is but moved keeps its own."""
        found = {network.input: self.input}
        for layer in network.layers:
            kept = isinstance(layer, MOVES)
            found[layer.name] = found[layer.inputs[0]] if kept else self.of(layer.name).result
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
            given, types = [numbers[name] for name in layer.inputs], self.of(layer.name)
            if isinstance(layer, Pooling) and layer.kind == "average" and (count := prod(layer.size)) & (count - 1):
                raise ConfigError(
                    f"layer {layer.name!r}: the mean of {count} numbers is no number of fixed point; a power of 2 is"
                )
            if looks_up(layer):
                _check_table(layer, given[0], types, network.shapes[layer.inputs[0]][-1])
            bits = _sum_bits(layer, given, types)
            if bits > _EXACT_BITS:
                raise ConfigError(f"layer {layer.name!r}: its sums need {bits} bits, and {_EXACT_BITS} can be had")


def looks_up(layer: Layer) -> bool:
    """Whether a layer has tables."""
    return isinstance(layer, Recurrent | Softmax) or (isinstance(layer, Activation) and layer.kind in REACH)


def _check_table(layer: Layer, given: Fixed, types: Types, count: int) -> None:
    least, most = _TABLE_SIZES
    size, table = types.table_size, types.table
    if not least <= size <= most or size & (size - 1):
        raise ConfigError(f"layer {layer.name!r}: a table has a power of 2 from {least} to {most}, given {size}")
    if isinstance(layer, Softmax):
        if table.highest < 1:
            raise ConfigError(f"layer {layer.name!r}: the table of a softmax holds 1, which {table} does not")
        if count >= size:
            raise ConfigError(f"layer {layer.name!r}: a softmax of {count} numbers has tables of more, given {size}")
        return
    integer = accumulator(layer, given, types)[1] if isinstance(layer, Recurrent) else given.integer
    if integer + log2(size / (2 * min(REACH.values()))) > _ADDRESS_BITS:
        raise ConfigError(f"layer {layer.name!r}: {integer} bits before the point are too many for a table's address")


def _sum_bits(layer: Layer, given: list[Fixed], types: Types) -> int:
    """Bits of the largest sum of a layer, with those of its bias."""
    first = given[0]
    if isinstance(layer, Pooling):
        return first.total + ceil(log2(prod(layer.size)))
    if isinstance(layer, Trees):
        return types.bias.total + ceil(log2(most(layer) + 1))
    if isinstance(layer, Product):
        return first.total + given[1].total
    if isinstance(layer, Activation) and layer.kind == "leaky_relu":
        return first.total + types.weight.total
    if isinstance(layer, Softmax):
        return 2 * types.table.total
    if isinstance(layer, Recurrent):
        # What comes from tables is 1 at most.
        table, result = types.table.fraction, types.result
        return table + max(
            accumulator(layer, first, types)[0], max(table, result.fraction) + max(result.integer, 2) + 1
        )
    if not isinstance(layer, Dense | Convolution | Scale):
        return max(number.integer for number in given) + max(number.fraction for number in given) + 1
    terms = 2 if isinstance(layer, Scale) else prod(layer.weight.shape[:-1]) + 1
    fraction = max(first.fraction + types.weight.fraction, types.bias.fraction)
    integer = max(first.integer + types.weight.integer, types.bias.integer)
    return fraction + integer + ceil(log2(terms))
