"""Recurrent networks in fixed point, step by step. Pure.

Sums are as wide as they need to be, in one type for the whole of a layer; only what the gate r lets through is cut to
that type again.

Source: hls4ml 1.3, ``nnet_recurrent.h`` of its Vivado and Vitis writers.
"""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

import numpy as np

from sonic.firmware.tables import exact, looked_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sonic.firmware.layers import Recurrent
    from sonic.firmware.numbers import Fixed, Types

    Floats = NDArray[np.float64]
    Function = Callable[[Floats], Floats]


def accumulator(layer: Recurrent, given: Fixed, types: Types) -> tuple[int, int]:
    """Return the bits of a layer's sums, and how many of them are before the point: no sum can need more.

    Parameters
    ----------
    layer : Recurrent
    given : Fixed
        What it takes.
    types : Types
        Its own.
    """
    largest = 0.0
    for weight, bias, number in (
        (layer.weight, layer.bias, given),
        (layer.recurrent, layer.recurrent_bias, types.result),
    ):
        reach = max(-number.lowest, number.highest)
        sums = np.abs(types.weight.quantise(weight)).sum(axis=0) * reach + np.abs(types.bias.quantise(bias))
        largest += float(sums.max())
    fraction = max(
        max(given.fraction, types.result.fraction) + types.weight.fraction, types.bias.fraction, types.table.fraction
    )
    integer = max(ceil(log2(max(largest, 1.0))) + 1, types.table.integer) + 1
    return integer + fraction, integer


def run(layer: Recurrent, given: Floats, types: Types | None, number: Fixed | None = None) -> Floats:
    """Compute a layer.

    Parameters
    ----------
    layer : Recurrent
    given : float64 array [N, steps, channels]
    types : Types or None
        None: in float64, without fixed point.
    number : Fixed, optional
        With types: of what is given.

    Returns
    -------
    float64 array [N, steps, states] or [N, states]
    """
    weight, recurrent, bias, recurrent_bias = layer.weight, layer.recurrent, layer.bias, layer.recurrent_bias
    sigmoid: Function = lambda values: exact("sigmoid", values)  # noqa: E731
    tanh: Function = lambda values: exact("tanh", values)  # noqa: E731
    keep: Function = lambda values: values  # noqa: E731
    cut = keep
    if types is not None and number is not None:
        weight, recurrent = types.weight.quantise(weight), types.weight.quantise(recurrent)
        bias, recurrent_bias = types.bias.quantise(bias), types.bias.quantise(recurrent_bias)
        sigmoid = looked_up("sigmoid", types.table, types.table_size)
        tanh = looked_up("tanh", types.table, types.table_size)
        keep = types.result.quantise
        total, integer = accumulator(layer, number, types)
        step = 2.0 ** (integer - total)
        cut = lambda values: np.floor(values / step) * step  # noqa: E731
    state = np.zeros((len(given), layer.states))
    memory = np.zeros_like(state)
    seen = []
    for at in range(given.shape[1]):
        here = np.split(given[:, at] @ weight + bias, weight.shape[1] // layer.states, axis=1)
        before = np.split(state @ recurrent + recurrent_bias, len(here), axis=1)
        if layer.cell == "gru":
            z, r = (sigmoid(here[gate] + before[gate]) for gate in (0, 1))
            state = keep(tanh(here[2] + cut(r * before[2])) * (1 - z) + state * z)
        else:
            i, f, o = (sigmoid(here[gate] + before[gate]) for gate in (0, 1, 3))
            memory = keep(tanh(here[2] + before[2]) * i + memory * f)
            state = keep(o * tanh(memory))
        seen.append(state)
    return np.stack(seen, axis=1) if layer.every_step else state
