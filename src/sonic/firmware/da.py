"""Networks as distributed arithmetic, by da4ml: adders and shifts in place of multipliers, and what they cost.

da4ml is led through the very computation of :mod:`sonic.firmware.reference`, with its symbols in place of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, one_line
from sonic.firmware.layers import Convolution, Dense, Recurrent
from sonic.firmware.numbers import MAX_BITS, Fixed
from sonic.firmware.reference import Arithmetic, trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision


_INPUT = -1
"""da4ml's code of an operation that takes a number of a row."""
_CONSTANT = 5
"""Of one that gives a constant."""
_WRAP = 3
"""Of one that gives a number fewer bits."""
_WRAPPED_BITS = 32
"""That the interpreter can wrap a number to."""
_LAST_BITS = -32, 31
"""Powers of two with which its numbers may end."""
_TABLE_BITS = 20
"""A million entries: more take minutes and the memory of the machine, and no FPGA holds them."""
_WEIGHT_BITS = 24
"""Besides the sign."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What da4ml estimates a network to take on an FPGA.

    Parameters
    ----------
    luts : float
        Look-up tables, about.
    latency_cycles : float
        Adders one behind the other.
    """

    luts: float
    latency_cycles: float


class Logic:
    """A network as combinational logic.

    Parameters
    ----------
    network : Network
    precision : Precision

    Raises
    ------
    ConfigError
        If da4ml is missing or cannot have the network, or would not have all bits of a number.
    """

    def __init__(self, network: Network, precision: Precision) -> None:
        try:
            from da4ml.trace import FixedVariableArrayInput, comb_trace

            # What comes in is of the input's type already.
            given = FixedVariableArrayInput((1, *network.shape))
        except ImportError:
            raise ConfigError("this needs da4ml: pip install 'sonic-hep[firmware]'") from None
        _check_place("the input", precision.input)
        for layer in network.layers:
            if isinstance(layer, Recurrent):
                raise ConfigError(f"layer {layer.name!r}: da4ml has no recurrent networks; hls4ml-vitis has")
            types = precision.of(layer.name)
            for number in (types.result, types.weight, types.bias, types.table):
                _check_place(f"layer {layer.name!r}", number)
            if isinstance(layer, Dense | Convolution):
                _check_weights(layer, types.weight)
        self._inputs, self._outputs = network.inputs_per_row, network.outputs_per_row
        entrance = replace(precision, input=replace(precision.input, rounding="TRN", overflow="WRAP"))
        try:
            made = trace(network, entrance, given, _SYMBOLS)[network.output]
            self._logic = in_own_steps(comb_trace(given, made))
        except Exception as error:
            raise ConfigError(f"da4ml cannot have network {network.name!r}: {one_line(error)}") from error
        # Of each row of numbers in 16 bits the interpreter would else make this anew.
        self._program = without_wide_wraps(self._logic).to_binary()

    @property
    def cost(self) -> Cost:
        """What it takes."""
        return Cost(float(self._logic.cost), float(max(self._logic.out_latency)))

    @property
    def program(self) -> Any:
        """What da4ml has traced."""
        return self._logic

    def formats(self) -> tuple[Fixed, Fixed]:
        """Return types of input and output, which hold every number of a row.

        Raises
        ------
        ConfigError
            If none does: all are zero whatever comes in, or they reach further together than 32 bits.
        """
        return _widest("inputs", self._logic.inp_kifs), _widest("outputs", self._logic.out_kifs)

    def predict(self, rows: ArrayLike, threads: int = 1) -> NDArray[np.float64]:
        """Compute rows with da4ml's interpreter.

        Parameters
        ----------
        rows : float array [N, *network.shape]
            Of the input's numbers.
        threads : int

        Returns
        -------
        float64 array [N, numbers of a row of the output]
        """
        from da4ml._binary import dais_interp_run

        given = np.asarray(rows, np.float64).reshape(-1, self._inputs)
        if not len(given):
            return np.empty((0, self._outputs))
        made: NDArray[np.float64] = dais_interp_run(self._program, given, threads)
        return made.reshape(len(given), self._outputs)

    def save(self, file: Path) -> None:
        """Write the logic as JSON."""
        self._logic.save(file)


def in_own_steps(logic: Any) -> Any:
    """Return logic in which each constant's step is its last bit.

    da4ml looks for that bit from 2**-32 to 2**31 only, and numbers of its logic leave out a power of two each, which
    piles up in products. Where the step so found is below that of the numbers that a constant is chosen in place of, as
    the largest one is where they saturate, it would be taken for another constant.
    """
    return logic._replace(ops=[_in_own_step(op) if op.opcode == _CONSTANT and op.qint.min else op for op in logic.ops])


def without_wide_wraps(logic: Any) -> Any:
    """Return logic as da4ml's interpreter has it right, which wraps numbers to no more than 32 bits.

    Types have no more. Wider ones are wrapped in products with a constant alone, to a range that da4ml knows them to
    be in: what takes them takes what they were made of as well.
    """
    from da4ml.types import minimal_kif

    instead: dict[int, int] = {}
    ops = []
    for place, op in enumerate(logic.ops):
        if op.opcode != _INPUT:
            op = op._replace(id0=instead.get(op.id0, op.id0), id1=instead.get(op.id1, op.id1))
        if op.opcode == _WRAP and sum(minimal_kif(op.qint)) > _WRAPPED_BITS:
            instead[place] = op.id0
        ops.append(op)
    return logic._replace(ops=ops)


def _in_own_step(op: Any) -> Any:
    value = float(op.qint.min)
    numerator, denominator = value.as_integer_ratio()
    step = (numerator & -numerator) / denominator
    return op._replace(data=round(value / step), qint=op.qint._replace(step=step))


def installed() -> bool:
    """Whether there is da4ml."""
    return find_spec("da4ml") is not None


def versions() -> dict[str, str]:
    """Return the version of da4ml."""
    return {"da4ml": version("da4ml")}


def _check_place(whose: str, number: Fixed) -> None:
    """Check that a number's last bit is one that da4ml finds."""
    if not _LAST_BITS[0] <= -number.fraction <= _LAST_BITS[1]:
        raise ConfigError(
            f"{whose}: the last bit of {number} is 2**{-number.fraction}, and da4ml has 2**{_LAST_BITS[0]} to "
            f"2**{_LAST_BITS[1]}; hls4ml's routes have others"
        )


def _check_weights(layer: Dense | Convolution, number: Fixed) -> None:
    """Check that da4ml, which keeps the weights of a product in float32, keeps all of their bits."""
    weights = number.quantise(layer.weight)
    if (weights.astype(np.float32) != weights).any():
        raise ConfigError(
            f"layer {layer.name!r}: its weights of {number} need more than the {_WEIGHT_BITS} bits that da4ml has; "
            "hls4ml's routes have 32"
        )


def _widest(whose: str, kifs: Any) -> Fixed:
    """Return the type that holds all; da4ml counts the sign apart."""
    signed, integer, fraction = (int(max(part)) for part in kifs)
    if not 1 <= (bits := signed + integer + fraction) <= MAX_BITS:
        raise ConfigError(
            f"its {whose} take {bits} bits together, and Verilog's 1 to {MAX_BITS}; da4ml's route takes any"
        )
    return Fixed(signed + integer + fraction, signed + integer, bool(signed))


def _cast(number: Fixed, values: Any) -> Any:
    from da4ml.trace import FixedVariableArray

    kept = int(number.signed), number.integer - number.signed, number.fraction, number.overflow, number.rounding
    if type(values) is not FixedVariableArray:  # what comes in, and what is looked up: of neither is more known
        return values.quantize(*kept)
    each = [_cast_one(number, value, kept) for value in values.ravel()]
    return FixedVariableArray(np.array(each).reshape(values.shape), values.solver_options, hwconf=values.hwconf)


def _cast_one(number: Fixed, value: Any, kept: tuple[int, int, int, str, str]) -> Any:
    """Give one symbol a type, where da4ml would not do it right: 0.6 leaves bits of these alone."""
    if value.low == value.high:  # a constant, as behind weights that are all zero
        return value.from_const(float(number.quantise(float(value.low))), hwconf=value.hwconf)
    integer = kept[1]
    if value.low < 0 and not number.signed and number.overflow == "WRAP" and integer > value.kif[1] + 1:
        value = value + 2.0**integer  # one turn; below zero it has ones in all the bits that are new
    return value.quantize(*kept)


def _apply(function: Callable[[Any], Any], values: Any) -> Any:
    """Look a function up in a table with an entry for each number that may come."""
    bits = max(int(sum(value.kif)) for value in values.ravel())
    if bits > _TABLE_BITS:
        raise ConfigError(
            f"a table has an entry for each number of {bits} bits, and {_TABLE_BITS} can be had: give what comes "
            "before fewer, or take hls4ml-vitis"
        )
    return values.apply(function)


_SYMBOLS = Arithmetic(_cast, _apply)
