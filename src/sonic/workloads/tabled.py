"""Random weights that need no room: slices of one table of random numbers.

ONNX Runtime computes the slices when it loads the model, once; from then on it has weights of the sizes that the
network always has, so that the model is as fast as a trained one. Its file is as large as its graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = 4_093
"""Numbers of the table: a prime, so that the rows of a matrix differ."""

_FEW = 64


def tabled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return a model with slices of a table for its larger weights, each with the spread of what was there.

    Parameters
    ----------
    model : onnx.ModelProto
        As :func:`sonic.workloads.export.to_onnx` gives it.
    seed : int
        Of the table.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    table = np.random.default_rng(seed).standard_normal(TABLE).astype(np.float32)
    kept, nodes = [], []
    constants: dict[str, NDArray[Any]] = {"table": table}
    for number, initializer in enumerate(model.graph.initializer):
        values = numpy_helper.to_array(initializer)
        if values.dtype != np.float32 or values.size < _FEW:
            kept.append(initializer)
            continue
        start = number * 997 % TABLE
        constants |= {
            f"repeats_{number}": np.array([-(-(start + values.size) // TABLE)]),
            f"start_{number}": np.array([start]),
            f"stop_{number}": np.array([start + values.size]),
            f"shape_{number}": np.array(values.shape),
            f"spread_{number}": np.array(values.std(), np.float32),
        }
        nodes += [
            helper.make_node("Tile", ["table", f"repeats_{number}"], [f"tiled_{number}"]),
            helper.make_node("Slice", [f"tiled_{number}", f"start_{number}", f"stop_{number}"], [f"slice_{number}"]),
            helper.make_node("Mul", [f"slice_{number}", f"spread_{number}"], [f"flat_{number}"]),
            helper.make_node("Reshape", [f"flat_{number}", f"shape_{number}"], [initializer.name]),
        ]
    others = list(model.graph.node)
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend([*nodes, *others])
    made.graph.initializer.extend(kept + [numpy_helper.from_array(v, name) for name, v in constants.items()])
    onnx.checker.check_model(made)
    return made
