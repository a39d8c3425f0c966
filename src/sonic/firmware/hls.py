"""Networks as C++ for high-level synthesis, written by hls4ml.

hls4ml is given layers and the numbers of each, and neither guesses nor rounds anything: sums are as wide as they need
to be (``accum`` is ``auto``), which is what makes its bits those of :mod:`sonic.firmware.reference`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sonic.errors import ConfigError, one_line
from sonic.firmware.layerlist import configuration, layer_list
from sonic.firmware.layers import (
    Concatenation,
    Convolution,
    Dense,
    Flatten,
    Pooling,
    Quantiser,
    Reshape,
    Trees,
    Upsampling,
)
from sonic.firmware.precision import looks_up

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision
    from sonic.firmware.synthesis import Synthesis

log = logging.getLogger("sonic.firmware")

_OF_THIS_RUN = ("build_lib.sh", "hls4ml_config.yml")
"""Files with a random stamp and a path of this machine, which nothing here needs."""
_LSTM = "nnet::dense<{}, {}, typename CONFIG_T::mult_config{}>"
_MENDED = {
    "nnet_activation.h": {
        "inline float sigmoid_fcn_float(float": "inline double sigmoid_fcn_float(double",
        "inline float exp_fcn_float(float": "inline double exp_fcn_float(double",
        "= tanh(in_val)": "= std::tanh(double(in_val))",
    },
    "nnet_recurrent.h": {
        _LSTM.format("data_T", "res_T", 1): _LSTM.format("data_T", "typename CONFIG_T::accum_t", 1),
        _LSTM.format("data_T", "res_T", 2): _LSTM.format("res_T", "typename CONFIG_T::accum_t", 2),
    },
}


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
    _check(network, synthesis)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where it reports its steps
            model = ModelGraph.from_layer_list(
                configuration(network, precision, synthesis, folder),
                layer_list(network, precision, synthesis.strategy),
            )
            model.write()
        _say_reuse(model, network, synthesis)
        for name in _OF_THIS_RUN:
            (folder / name).unlink(missing_ok=True)
        if any(map(looks_up, network.layers)):
            _mend(folder / "firmware" / "nnet_utils")
        if synthesis.writer == "Catapult":
            _with_weights(folder / "firmware", network.name)
    except Exception as error:
        raise ConfigError(f"hls4ml cannot write network {network.name!r}: {one_line(error)}") from error
    return {name: version(name) for name in ("hls4ml", *(("da4ml",) if synthesis.strategy == "da" else ()))}


def _check(network: Network, synthesis: Synthesis) -> None:
    """Refuse what the writer would write with other bits, or not at all."""
    writer = synthesis.writer
    if network.name == network.input:
        raise ConfigError(f"network {network.name!r} has an input of the same name, which C++ does not take")
    if synthesis.strategy == "da" and (writer != "Vitis" or synthesis.reuse != 1):
        raise ConfigError(f"strategy da is for Vitis without reuse, given {writer} and a reuse of {synthesis.reuse}")
    if all(isinstance(layer, Flatten | Reshape) for layer in network.layers):
        raise ConfigError(f"network {network.name!r} computes nothing, and hls4ml writes nothing of it that compiles")
    for layer in network.layers:
        if isinstance(layer, Convolution | Pooling | Upsampling) and len(network.shapes[layer.name]) > 3:
            raise ConfigError(f"layer {layer.name!r}: hls4ml has images of one or two dimensions: take da4ml")
        if isinstance(layer, Trees):
            raise ConfigError(f"layer {layer.name!r}: hls4ml has no decision trees: take conifer, da4ml or da4ml-rtl")
        if synthesis.stream and isinstance(layer, Pooling) and layer.size != layer.strides:
            raise ConfigError(
                f"layer {layer.name!r}: streams pool windows side by side, given {list(layer.size)} in steps of "
                f"{list(layer.strides)}"
            )
        joins_rows = isinstance(layer, Concatenation) and len(network.shapes[layer.name]) == 1
        if synthesis.stream and writer == "Catapult" and joins_rows:
            raise ConfigError(f"layer {layer.name!r}: Catapult's streams lose the second of two rows of numbers")
        if writer != "Vitis" and isinstance(layer, Pooling) and layer.kind == "average":
            raise ConfigError(f"layer {layer.name!r}: {writer} rounds means towards zero, and its bits would be others")
        if isinstance(layer, Quantiser) and (writer != "Vitis" or synthesis.stream):
            raise ConfigError(f"layer {layer.name!r}: numbers with types of their own are for Vitis, without a stream")
        if writer != "Vitis" and looks_up(layer):
            ways = {"Quartus": "has tables of one side of zero", "Catapult": "has lines in place of tables"}[writer]
            raise ConfigError(f"layer {layer.name!r}: {writer} {ways}, and its bits would be others: take hls4ml-vitis")


def _say_reuse(model: Any, network: Network, synthesis: Synthesis) -> None:
    """Say where hls4ml takes another reuse than it is told: not every number of multiplications can be shared out."""
    products = {layer.name for layer in network.layers if isinstance(layer, Dense | Convolution)}
    for layer in model.get_layers():
        taken = layer.get_attr("reuse_factor")
        if layer.name in products and taken != synthesis.reuse:
            log.warning(
                "layer %r: %d multiplications for each multiplier, not %d, by which its weights cannot be shared out",
                *(layer.name, taken, synthesis.reuse),
            )


def _mend(utilities: Path) -> None:
    """Change a few lines of hls4ml's headers.

    Tables are computed in float64: float32's functions differ from one C library to the next. And LSTMs whose state is
    not static name their types as the others do: as they are, all of them would have to be the same.
    """
    for name, changes in _MENDED.items():
        text = (utilities / name).read_text()
        for old, new in changes.items():
            if old not in text:
                raise ConfigError(f"{name} of hls4ml {version('hls4ml')} is not known here")
            text = text.replace(old, new)
        (utilities / name).write_text(text)


def _with_weights(firmware: Path, name: str) -> None:
    """Have Catapult's sources hold their weights, as those of the others do, and not read them from text."""
    for file in (firmware / f"{name}.cpp", *(firmware / "weights").glob("*.h")):
        text = file.read_text().replace("#ifndef __SYNTHESIS__", "#if 0")
        file.write_text(re.sub(r"^(\w+ \w+\[\d+\] = )", r"static \1", text, flags=re.MULTILINE))
    for file in (firmware / "weights").glob("*.txt"):
        file.unlink()
