"""Functions that firmware looks up in tables: hls4ml's tables, and which entry is taken. Pure.

Entries are computed in float64, for float32's functions differ in the last bit from one C library to the next
(:func:`sonic.firmware.hls.write` has hls4ml's sources do the same).

Source: hls4ml 1.3, ``nnet_activation.h`` of its Vivado and Vitis writers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.firmware.numbers import Fixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Function = Callable[[Floats], Floats]

REACH: dict[str, float] = {"sigmoid": 8.0, "tanh": 4.0}
"""How far from zero a table goes; beyond, its first and last entry hold."""
_SOFTMAX_REACH_BITS = 4
"""exp(-16) is nothing."""


def exact(kind: str, values: ArrayLike) -> Floats:
    """Return the function itself, in float64."""
    given = np.asarray(values, np.float64)
    if kind == "tanh":
        return np.tanh(given)
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-given))


def inverse_root(count: int, epsilon: float) -> Function:
    """Return 1/sqrt(x/count + epsilon), of which there is an entry for each x that there is."""
    return lambda values: 1.0 / np.sqrt(np.maximum(values, 0.0) / count + epsilon)


def entries(kind: str, number: Fixed, size: int) -> Floats:
    """Return a table.

    Parameters
    ----------
    kind : {"sigmoid", "tanh"}
    number : Fixed
        Its numbers' type.
    size : int
        A power of two.

    Returns
    -------
    float64 array [size]
        At equal steps from minus the reach on.
    """
    return number.quantise(exact(kind, (np.arange(size) / size * 2 - 1) * REACH[kind]))


def looked_up(kind: str, number: Fixed, size: int) -> Function:
    """Return a function by its table: of the entries on both sides of a number the one nearer to zero's is taken.

    NaN and infinities give NaN.
    """
    table = entries(kind, number, size)
    per_unit = size / (2 * REACH[kind])

    def function(values: Floats) -> Floats:
        return _take(table, np.trunc(values * per_unit) + size // 2)

    return function


def softmax_types(number: Fixed, size: int, count: int) -> tuple[Fixed, Fixed, Fixed]:
    """Return the types between the tables of a softmax, all of whose bits address a table.

    Parameters
    ----------
    number : Fixed
        Of the tables.
    size : int
        Of each table; a power of two.
    count : int
        Numbers that it takes.

    Returns
    -------
    Fixed
        Of what a number is below the largest.
    Fixed
        Of the sum of the exponentials, exactly.
    Fixed
        Of that sum as the second table's address.
    """
    bits = size.bit_length() - 1
    more = (count - 1).bit_length()
    below = Fixed(bits, _SOFTMAX_REACH_BITS, signed=False, rounding="RND", overflow="SAT")
    whole = Fixed(number.total + more, number.integer + more, number.signed)
    address = Fixed(bits, count.bit_length(), signed=False, rounding="RND", overflow="SAT")
    return below, whole, address


def exponentials(number: Fixed, size: int) -> Function:
    """Return exp(-x) by its table, for x of the first of :func:`softmax_types`."""
    per_unit = size / 2.0**_SOFTMAX_REACH_BITS
    table = number.quantise(np.exp(-np.arange(size) / per_unit))
    return lambda values: _take(table, values * per_unit)


def reciprocals(number: Fixed, size: int, address: Fixed) -> Function:
    """Return 1/x by its table, of quotients in float32, for x of the last of :func:`softmax_types`."""
    at = (np.arange(size) * address.step).astype(np.float32)
    at[0] = at[1]  # no sum is zero
    table = number.quantise(np.float32(1) / at)
    return lambda values: _take(table, values / address.step)


def _take(table: Floats, places: Floats) -> Floats:
    finite = np.isfinite(places)
    found = table[np.clip(np.where(finite, places, 0), 0, len(table) - 1).astype(np.int64)]
    return np.where(finite, found, np.nan)
