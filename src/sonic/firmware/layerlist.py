"""A network as hls4ml takes it: a list of layers, and a configuration with the numbers of each."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError
from sonic.firmware.layers import (
    Activation,
    Concatenation,
    Convolution,
    Dense,
    Difference,
    Flatten,
    Pooling,
    Product,
    Quantiser,
    Recurrent,
    Reshape,
    Scale,
    Softmax,
    Sum,
    Upsampling,
)
from sonic.firmware.precision import looks_up
from sonic.firmware.recurrent import accumulator
from sonic.firmware.tables import softmax_types

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.layers import Layer
    from sonic.firmware.network import Network
    from sonic.firmware.numbers import Fixed
    from sonic.firmware.precision import Precision, Types
    from sonic.firmware.synthesis import Strategy, Synthesis

_PARTS = {"Vitis": "xcvu9p-flga2104-2L-e", "Quartus": "Arria10", "Catapult": "xcvu9p-flga2104-2L-e"}
_STRATEGIES = {"latency": "latency", "resource": "resource", "da": "distributed_arithmetic"}
_MERGES: dict[type[Layer], str] = {Sum: "add", Difference: "subtract", Product: "multiply"}


def layer_list(network: Network, precision: Precision, strategy: Strategy = "latency") -> list[dict[str, Any]]:
    """Return a network as hls4ml's list of layers.

    Its constants are written with ten digits. They are those of fixed point already, and in the middle of what becomes
    of them, so that no digit that is missing takes them to a neighbour. Distributed arithmetic is made of them as they
    are given, and is given those of fixed point themselves.
    """
    shape = list(network.shape)
    listed: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "name": network.input, "input_shape": shape, "data_format": "channels_last"}
    ]
    for layer in network.layers:
        types, given, made = precision.of(layer.name), network.shapes[layer.inputs[0]], network.shapes[layer.name]
        described = {"name": layer.name, "inputs": list(layer.inputs)} | _described(layer, types, given, made)
        if strategy == "da" and isinstance(layer, Dense | Convolution):
            described["weight_data"] = types.weight.quantise(layer.weight)
            described["bias_data"] = types.bias.quantise(layer.bias)
        listed.append(described)
    return listed


def _described(layer: Layer, types: Types, given: tuple[int, ...], made: tuple[int, ...]) -> dict[str, Any]:
    if isinstance(layer, Dense):
        n_in, n_out = layer.weight.shape
        return _weights(layer, types) | {"class_name": "Dense", "n_in": n_in, "n_out": n_out}
    if isinstance(layer, Convolution):
        sizes = (
            _sizes("in", given)
            | _sizes("out", made)
            | _axes("filt", layer.weight.shape)
            | _axes("stride", layer.strides)
        )
        return (
            _weights(layer, types)
            | sizes
            | _pads(layer.pads)
            | {
                "class_name": f"Conv{len(layer.strides)}D",
                # Quartus' writer takes these, which hls4ml gives to products alone, for memory banks of large weights.
                "n_in": layer.weight[..., 0].size,
                "n_out": made[-1],
                "n_chan": given[-1],
                "n_filt": made[-1],
                "data_format": "channels_last",
                "padding": "valid",
            }
        )
    if isinstance(layer, Pooling):
        sizes = _sizes("in", given) | _sizes("out", made) | _axes("pool", layer.size) | _axes("stride", layer.strides)
        if len(layer.size) == 1:
            sizes = {"n_in": given[0], "n_out": made[0]} | sizes
        kind = {"max": "Max", "average": "Average"}[layer.kind]
        return (
            sizes
            | _pads(((0, 0),) * len(layer.size))
            | {
                "class_name": f"{kind}Pooling{len(layer.size)}D",
                "n_filt": made[-1],
                "data_format": "channels_last",
                "padding": "valid",
            }
        )
    if isinstance(layer, Activation):
        if layer.kind == "leaky_relu":
            return {
                "class_name": "LeakyReLU",
                "activation": "LeakyReLU",
                "activ_param": float(_amid(types.weight, layer.slope)),
            }
        return {"class_name": "Activation", "activation": layer.kind}
    if isinstance(layer, Scale):
        numbers = {"scale_data": _amid(types.weight, layer.factor), "bias_data": _amid(types.bias, layer.shift)}
        return numbers | {
            "class_name": "BatchNormalization",
            "n_in": prod(given),
            "n_filt": given[-1] if len(given) > 1 else -1,
        }
    if isinstance(layer, Upsampling):
        return (
            _sizes("in", given)
            | _sizes("out", made)
            | ({} if len(layer.times) == 2 else {"in_height": 1, "out_height": 1})
            | {"class_name": "Resize", "n_chan": made[-1], "algorithm": "nearest", "data_format": "channels_last"}
        )
    if isinstance(layer, Flatten | Reshape):
        return {"class_name": "Reshape", "target_shape": list(made)}
    if isinstance(layer, Sum | Difference | Product):
        return {"class_name": "Merge", "op": _MERGES[type(layer)]}
    if isinstance(layer, Concatenation):
        return {"class_name": "Concatenate", "axis": len(made), "op": f"concatenate{len(made)}d"}
    if isinstance(layer, Softmax):
        size = types.table_size
        return {
            "class_name": "Softmax",
            "activation": "softmax",
            "axis": -1,
            "implementation": "stable",
            "exp_table_size": size,
            "inv_table_size": size,
        }
    if isinstance(layer, Recurrent):
        return _recurrent(layer, types, given)
    if isinstance(layer, Quantiser):
        parts = (np.broadcast_to(part, made)[None] for part in (layer.signed, layer.total, layer.integer))
        return {
            "class_name": "FixedPointQuantizer",
            "mask_kbi": tuple(parts),
            "RND": layer.rounding,
            "SAT": layer.overflow,
            "overrides": None,
            "fusible": False,
        }
    raise ConfigError(f"layer {layer.name!r}: hls4ml is given no {type(layer).__name__}; the route da4ml may have it")


def _weights(layer: Dense | Convolution, types: Types) -> dict[str, Any]:
    return {"weight_data": _amid(types.weight, layer.weight), "bias_data": _amid(types.bias, layer.bias)}


def _recurrent(layer: Recurrent, types: Types, given: tuple[int, ...]) -> dict[str, Any]:
    described = {
        "class_name": layer.cell.upper(),
        "n_in": given[1],
        "n_out": layer.states,
        "n_timesteps": given[0],
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "return_sequences": layer.every_step,
        "return_state": False,
        "pass_initial_states": False,
        "direction": "forward",
        "time_major": False,
        # Static states would be shared by all threads.
        "static": False,
    }
    if layer.cell == "lstm":
        described["pytorch"] = True  # with a second bias
    return described | {
        "weight_data": _amid(types.weight, layer.weight),
        "recurrent_weight_data": _amid(types.weight, layer.recurrent),
        "bias_data": _amid(types.bias, layer.bias),
        "recurrent_bias_data": _amid(types.bias, layer.recurrent_bias),
    }


def _amid(number: Fixed, values: ArrayLike) -> NDArray[np.float64]:
    """Return what becomes of constants, in the middle of all that becomes the same.

    A little below it, for Catapult's writer rounds to whole numbers where the type has no other: from the middle it
    would come to the next.
    """
    return number.quantise(values) + (0.45 * number.step if number.rounding == "TRN" else 0.0)


def _sizes(prefix: str, shape: tuple[int, ...]) -> dict[str, int]:
    return _axes(prefix, shape[:-1])


def _axes(prefix: str, sizes: tuple[int, ...]) -> dict[str, int]:
    """Name sizes of one or two dimensions; of weights' shapes those before the channels."""
    return (
        dict(zip((f"{prefix}_height", f"{prefix}_width"), sizes, strict=False))
        if len(sizes) in (2, 4)
        else {f"{prefix}_width": sizes[0]}
    )


def _pads(pads: tuple[tuple[int, int], ...]) -> dict[str, int]:
    names = (("pad_top", "pad_bottom"), ("pad_left", "pad_right"))[-len(pads) :]
    return {name: n for pair, numbers in zip(names, pads, strict=True) for name, n in zip(pair, numbers, strict=True)}


def configuration(network: Network, precision: Precision, synthesis: Synthesis, folder: Path) -> dict[str, Any]:
    """Return hls4ml's configuration of a project."""
    strategy = _STRATEGIES[synthesis.strategy]
    others = "latency" if synthesis.strategy == "da" else strategy
    layers: dict[str, Any] = {network.input: {"Precision": {"result": str(precision.input)}}}
    numbers = precision.numbers(network)
    for layer in network.layers:
        types = precision.of(layer.name)
        given, count = numbers[layer.inputs[0]], network.shapes[layer.name][-1]
        layers[layer.name] = {
            "Precision": {"result": str(numbers[layer.name])} | _numbers(layer, types, given, count),
            "ReuseFactor": synthesis.reuse,
            "Strategy": strategy if isinstance(layer, Dense | Convolution) else others,
            "TableSize": types.table_size,
            **_table_numbers(layer, types, count),
        }
    return {
        "OutputDir": str(folder),
        "ProjectName": network.name,
        "Backend": synthesis.writer,
        "Part": synthesis.part or _PARTS[synthesis.writer],
        "ClockPeriod": synthesis.clock_ns,
        "ClockUncertainty": "12.5%",
        "IOType": "io_stream" if synthesis.stream else "io_parallel",
        "HLSConfig": {
            "Model": {
                "Precision": str(precision.default.result),
                "ReuseFactor": synthesis.reuse,
                "Strategy": others,
                "BitExact": False,  # which would choose numbers of its own where there is a quantiser
            },
            "LayerName": layers,
        },
        # Weights in text would be read from this folder when the library is used.
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both"},
    }


def _numbers(layer: Layer, types: Types, given: Fixed, count: int) -> dict[str, str]:
    """Name the types that a layer has besides its result's."""
    if isinstance(layer, Dense | Convolution):
        return {"weight": str(types.weight), "bias": str(types.bias), "accum": "auto"}
    if isinstance(layer, Scale):
        return {"scale": str(types.weight), "bias": str(types.bias)}
    if isinstance(layer, Pooling):
        # Of a largest number hls4ml would take the very type of what comes in, and Catapult's widen it for both.
        return {"accum": "auto" if layer.kind == "average" else str(given)}
    if isinstance(layer, Softmax):
        return {"accum": str(softmax_types(types.table, types.table_size, count)[1])}
    if isinstance(layer, Activation) and layer.kind == "leaky_relu":
        return {"param": str(types.weight)}
    if isinstance(layer, Recurrent):
        total, integer = accumulator(layer, given, types)
        weight, bias = str(types.weight), str(types.bias)
        accum = f"ap_fixed<{total},{integer}>"
        return {"weight": weight, "recurrent_weight": weight, "bias": bias, "recurrent_bias": bias, "accum": accum}
    return {}


def _table_numbers(layer: Layer, types: Types, count: int) -> dict[str, str]:
    """Name the types of tables and around them, which hls4ml takes beside the others."""
    table = str(types.table)
    if not isinstance(layer, Softmax):
        return {"table_t": table} if looks_up(layer) else {}
    below, _, address = map(str, softmax_types(types.table, types.table_size, count))
    return {"exp_table_t": table, "inv_table_t": table, "inp_norm_t": below, "inv_inp_t": address}
