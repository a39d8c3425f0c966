"""Decision trees as C++ for high-level synthesis, written by conifer, and its emulator."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.errors import ConfigError, one_line
from sonic.firmware.layers import Trees
from sonic.firmware.library import BATCH, compile_library

if TYPE_CHECKING:
    from sonic.firmware.network import Network
    from sonic.firmware.numbers import Types
    from sonic.firmware.precision import Precision
    from sonic.firmware.synthesis import Synthesis

_PART = "xcvu9p-flga2104-2L-e"
_BRIDGE = """// A row of doubles through the trees.
#include "firmware/BDT.cpp"

static void {name}_double(const double *x, double *y) {{
    input_arr_t row;
    score_arr_t scores;
    for (int i = 0; i < n_features; i++) row[i] = x[i];
    bdt.decision_function(row, scores);
    for (int i = 0; i < BDT::fn_classes(n_classes); i++) y[i] = scores[i].to_double();
}}
"""


def write(network: Network, precision: Precision, synthesis: Synthesis, folder: Path) -> dict[str, str]:
    """Write a project for AMD's Vitis HLS.

    Returns
    -------
    dict of str to str
        Versions of what wrote it.

    Raises
    ------
    ConfigError
        If conifer or hls4ml is missing, or it cannot have the network or its numbers.
    """
    layer = network.layers[-1]
    if not isinstance(layer, Trees) or len(network.layers) > 1:
        raise ConfigError(f"conifer writes decision trees alone, and network {network.name!r} has other layers")
    try:
        import conifer.model
        import hls4ml
    except ImportError as error:
        raise ConfigError(f"this needs {error.name}: pip install 'sonic-hep[firmware,bdt]'") from None
    types = precision.of(layer.name)
    _check(layer, types)
    try:
        conifer.model.make_model(
            ensemble(layer, types, network.inputs_per_row),
            {
                "backend": "xilinxhls",
                "output_dir": str(folder),
                "project_name": network.name,
                "input_precision": str(precision.input),
                "threshold_precision": str(types.weight),
                "weight_precision": "ap_ufixed<1,1>",  # of a feature: one
                "score_precision": str(types.result),
                "xilinx_part": synthesis.part or _PART,
                "clock_period": synthesis.clock_ns,
                "unroll": True,
            },
        ).write()
    except Exception as error:
        raise ConfigError(f"conifer cannot write network {network.name!r}: {one_line(error)}") from error
    for name in (f"{network.name}.json", "bridge.cpp"):  # which have the hour and the place of this run
        (folder / name).unlink()
    types_of_vitis = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
    shutil.copytree(types_of_vitis, folder / "firmware" / "ap_types")
    return {"conifer": version("conifer")}


def compile_project(folder: Path, name: str, inputs: int, outputs: int) -> Path:
    """Compile what :func:`write` has written to a library with ``sonic_batch``.

    Raises
    ------
    ConfigError
        As :func:`sonic.firmware.library.compile_library`.
    """
    (folder / f"{name}_bridge.cpp").write_text(_BRIDGE.format(name=name))
    code = BATCH.format(name=name, call=f"{name}_double(x, y);", inputs=inputs, outputs=outputs, stream="false")
    (folder / "sonic_batch.cpp").write_text(code)
    library = Path(f"lib{name}.so")
    includes = [Path(), Path("firmware"), Path("firmware") / "ap_types"]
    compile_library(folder, [Path("sonic_batch.cpp")], includes, library)
    return folder / library


def ensemble(layer: Trees, types: Types, features: int) -> dict[str, Any]:
    """Return trees as conifer describes them, each number as its type has it."""
    thresholds, values = types.weight.quantise(layer.threshold), types.bias.quantise(layer.value)
    count = len(layer.start)
    trees: list[list[dict[str, Any]]] = []
    grown = [0] * count
    ends = np.append(layer.roots[1:], len(layer.feature))
    for root, end, output in zip(layer.roots, ends, layer.outputs, strict=True):
        if grown[output] == len(trees):
            trees.append([_tree(np.array([-1]), features)] * count)  # a leaf of zero, where others have more trees
        part = slice(root, end)
        trees[grown[output]][output] = _tree(
            layer.feature[part],
            features,
            thresholds[part],
            values[part],
            layer.left[part] - root,
            layer.right[part] - root,
        )
        grown[output] += 1
    return {
        "n_classes": 2 if count == 1 else count,
        "n_features": features,
        "n_trees": len(trees),
        "max_depth": _depth(layer),
        "init_predict": types.bias.quantise(layer.start).tolist(),
        "norm": 1,
        "library": "sonic",
        "splitting_convention": "<" if layer.strict else "<=",
        "trees": trees,
    }


def _tree(feature: Any, features: int, threshold: Any = 0.0, value: Any = 0.0, left: Any = -1, right: Any = -1) -> Any:
    leaf = feature < 0

    def numbers(given: Any, otherwise: float) -> Any:
        return np.where(leaf, otherwise, given).tolist()

    return {
        "feature": numbers(feature, -2),
        "weight": [[int(n == at) for n in range(features)] for at in feature],
        "threshold": numbers(threshold, 0.0),
        "value": np.where(leaf, value, 0.0).tolist(),
        "children_left": numbers(left, -1),
        "children_right": numbers(right, -1),
    }


def _depth(layer: Trees) -> int:
    def below(node: int) -> int:
        return 0 if layer.feature[node] < 0 else 1 + max(below(layer.left[node]), below(layer.right[node]))

    return max(below(root) for root in layer.roots)


def _check(layer: Trees, types: Types) -> None:
    """Check that conifer's sums, of one type from leaf to score, are those of the reference."""
    leaf, score = types.bias, types.result
    if (leaf.total, leaf.integer, leaf.signed) != (score.total, score.integer, score.signed):
        raise ConfigError(f"layer {layer.name!r}: conifer has leaves and scores of one type, given {leaf} and {score}")
    if score.overflow != "WRAP":
        raise ConfigError(f"layer {layer.name!r}: scores that saturate depend on the order of the sum: take WRAP")
    if score.highest < 1:
        raise ConfigError(f"layer {layer.name!r}: conifer multiplies a score by 1, which {score} does not hold")
    if len(layer.start) == 2:
        raise ConfigError(f"layer {layer.name!r}: conifer has one output or three and more, given 2")
