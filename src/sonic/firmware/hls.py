"""Networks as C++ for high-level synthesis, written by hls4ml.

hls4ml is given layers and the numbers of each, and neither guesses nor rounds anything: sums are as wide as they need
to be (``accum`` is ``auto``), which is what makes its bits those of :mod:`sonic.firmware.reference`.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from sonic.errors import ConfigError, one_line
from sonic.firmware.layers import MOVES
from sonic.firmware.network import (
    Activation,
    Convolution,
    Dense,
    Flatten,
    Pooling,
    Scale,
    Sum,
    Upsampling,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from sonic.firmware.network import Layer, Network
    from sonic.firmware.numbers import Fixed
    from sonic.firmware.precision import Precision, Types

Writer = Literal["Vitis", "Quartus", "Catapult"]
WRITERS: tuple[Writer, ...] = ("Vitis", "Quartus", "Catapult")
_OF_THIS_RUN = ("build_lib.sh", "hls4ml_config.yml")
"""Files with a random stamp and a path of this machine, which nothing here needs."""
_PARTS = {"Vitis": "xcvu9p-flga2104-2L-e", "Quartus": "Arria10", "Catapult": "xcvu9p-flga2104-2L-e"}


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How firmware is built of a network.

    Parameters
    ----------
    writer : {"Vitis", "Quartus", "Catapult"}
        For whose compiler.
    reuse : int
        Multiplications that each multiplier does for one row.
    strategy : {"latency", "resource"}
    stream : bool
        Whether layers hand on numbers one after the other, as large images need, and not all at once.
    clock_ns : float
    part : str
        The FPGA; empty: the writer's usual one.
    """

    writer: Writer = "Vitis"
    reuse: int = 1
    strategy: Literal["latency", "resource"] = "latency"
    stream: bool = False
    clock_ns: float = 5.0
    part: str = ""


def write(network: Network, precision: Precision, synthesis: Synthesis, folder: Path) -> dict[str, str]:
    """Write a project.

    Parameters
    ----------
    network : Network
    precision : Precision
    synthesis : Synthesis
    folder : Path
        Made if it is not there.

    Returns
    -------
    dict of str to str
        Versions of what wrote it.

    Raises
    ------
    ConfigError
        If hls4ml is missing, or cannot have the network.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from hls4ml.model.graph import ModelGraph
    except ImportError:
        raise ConfigError("this needs hls4ml: pip install 'sonic-hep[firmware]'") from None
    precision.check(network)
    for layer in network.layers:
        if synthesis.writer == "Quartus" and isinstance(layer, Pooling) and layer.kind == "average":
            raise ConfigError(f"layer {layer.name!r}: Quartus rounds means towards zero, and its bits would be others")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where it reports its steps
            model = ModelGraph.from_layer_list(
                configuration(network, precision, synthesis, folder), layer_list(network, precision)
            )
            model.write()
        for name in _OF_THIS_RUN:
            (folder / name).unlink(missing_ok=True)
        if synthesis.writer == "Catapult":
            _with_weights(folder / "firmware", network.name)
    except Exception as error:
        raise ConfigError(f"hls4ml cannot write network {network.name!r}: {one_line(error)}") from error
    return {"hls4ml": version("hls4ml")}


def _with_weights(firmware: Path, name: str) -> None:
    """Have Catapult's sources hold their weights, as those of the others do, and not read them from text."""
    for file in (firmware / f"{name}.cpp", *(firmware / "weights").glob("*.h")):
        text = file.read_text().replace("#ifndef __SYNTHESIS__", "#if 0")
        file.write_text(re.sub(r"^(\w+ \w+\[\d+\] = )", r"static \1", text, flags=re.MULTILINE))
    for file in (firmware / "weights").glob("*.txt"):
        file.unlink()


def layer_list(network: Network, precision: Precision) -> list[dict[str, Any]]:
    """Return a network as hls4ml's list of layers.

    Its constants are written with ten digits. They are those of fixed point already, and in the middle of what becomes
    of them, so that no digit that is missing takes them to a neighbour.
    """
    shape = list(network.shape)
    listed: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "name": network.input, "input_shape": shape, "data_format": "channels_last"}
    ]
    for layer in network.layers:
        given = network.shapes[layer.inputs[0]]
        made = network.shapes[layer.name]
        listed.append(
            {"name": layer.name, "inputs": list(layer.inputs)}
            | _described(layer, precision.of(layer.name), given, made)
        )
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
                "n_chan": given[-1],
                "n_filt": made[-1],
                "data_format": "channels_last",
                "padding": "valid",
            }
        )
    if isinstance(layer, Pooling):
        sizes = _sizes("in", given) | _sizes("out", made) | _axes("pool", layer.size) | _axes("stride", layer.strides)
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
        return {"class_name": "Activation", "activation": "relu"}
    if isinstance(layer, Scale):
        numbers = {"scale_data": _amid(types.weight, layer.factor), "bias_data": _amid(types.bias, layer.shift)}
        n_in = 1
        for size in given:
            n_in *= size
        return numbers | {
            "class_name": "BatchNormalization",
            "n_in": n_in,
            "n_filt": given[-1] if len(given) > 1 else -1,
        }
    if isinstance(layer, Upsampling):
        return (
            _sizes("in", given)
            | _sizes("out", made)
            | ({} if len(layer.times) == 2 else {"in_height": 1, "out_height": 1})
            | {"class_name": "Resize", "n_chan": made[-1], "algorithm": "nearest", "data_format": "channels_last"}
        )
    if isinstance(layer, Flatten):
        return {"class_name": "Reshape", "target_shape": list(made)}
    if isinstance(layer, Sum):
        return {"class_name": "Merge", "op": "add"}
    raise ConfigError(f"layer {layer.name!r}: hls4ml is given no {type(layer).__name__}")


def _weights(layer: Dense | Convolution, types: Types) -> dict[str, Any]:
    return {"weight_data": _amid(types.weight, layer.weight), "bias_data": _amid(types.bias, layer.bias)}


def _amid(number: Fixed, values: ArrayLike) -> NDArray[np.float64]:
    """Return what becomes of constants, in the middle of all that becomes the same."""
    return number.quantise(values) + (number.step / 2 if number.rounding == "TRN" else 0.0)


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
    strategy = synthesis.strategy.capitalize()
    layers: dict[str, Any] = {network.input: {"Precision": {"result": str(precision.input)}}}
    for layer in network.layers:
        layers[layer.name] = {
            "Precision": _numbers(layer, precision.of(layer.name)),
            "ReuseFactor": synthesis.reuse,
            "Strategy": strategy,
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
            "Model": {"Precision": str(precision.default.result), "ReuseFactor": synthesis.reuse, "Strategy": strategy},
            "LayerName": layers,
        },
        # Weights in text would be read from this folder when the library is used.
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both"},
    }


def _numbers(layer: Layer, types: Types) -> dict[str, str]:
    if isinstance(layer, MOVES):
        return {"result": "auto"}
    result = {"result": str(types.result)}
    if isinstance(layer, Dense | Convolution):
        return result | {"weight": str(types.weight), "bias": str(types.bias), "accum": "auto"}
    if isinstance(layer, Scale):
        return result | {"scale": str(types.weight), "bias": str(types.bias)}
    if isinstance(layer, Pooling):
        return result | {"accum": "auto"}
    if isinstance(layer, Activation) and layer.kind == "leaky_relu":
        return result | {"param": str(types.weight)}
    return result
