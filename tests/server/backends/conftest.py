"""Networks of the kinds that Sonic serves, small."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Callable

Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(scope="session")
def networks() -> dict[str, Callable[[type], tuple[bytes, Shapes]]]:
    """Makers by name: given the graph builder, the model and the shapes of its inputs without rows."""
    return {
        "dense": lambda graph: _mlp(graph, (15, 50, 30, 7, 1), "Relu"),
        "dense-leaky": lambda graph: _mlp(graph, (46, 50, 30, 20, 10, 5, 3, 1), "LeakyRelu"),
        "dense-tanh": lambda graph: _mlp(graph, (16, 64, 32, 5), "Tanh"),
        "dense-elu": lambda graph: _mlp(graph, (9, 31, 5), "Elu"),
        "dense-softplus": lambda graph: _mlp(graph, (9, 30, 6), "Softplus"),
        "dense-float64": lambda graph: _mlp(graph, (9, 15, 5), "Tanh", np.float64),
        "edgeconv": lambda graph: _edgeconv(graph, points=10, features=5),
        "edgeconv-odd": lambda graph: _edgeconv(graph, points=7, features=3),
        "sum-over-candidates": lambda graph: _sum_over(graph, axis=1),
        "sum-over-features": lambda graph: _sum_over(graph, axis=2),
        "sum-over-both": lambda graph: _sum_over(graph, axis=(1, 2)),
        "images": _images,
        "instance-norm": _instance_norm,
        "attention": _attention,
        "recurrent": _recurrent,
        "log": _log,
        "packed": lambda graph: _packed(graph, summed=False),
        "packed-sum": lambda graph: _packed(graph, summed=True),
        "not-measured": _not_measured,
    }


def _mlp(make: type, widths: tuple[int, ...], activation: str, dtype: type = np.float32) -> tuple[bytes, Shapes]:
    graph = make()
    x = "x"
    for before, after in pairwise(widths):
        x = graph.op(
            activation,
            graph.op(
                "Add", graph.op("MatMul", x, graph.weight(before, after, dtype=dtype)), graph.weight(after, dtype=dtype)
            ),
        )
    element = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    return graph.build({"x": ["N", widths[0]]}, {"y": (x, ["N", widths[-1]])}, element), {"x": (widths[0],)}


def _edgeconv(make: type, points: int, features: int, k: int = 3) -> tuple[bytes, Shapes]:
    graph = make()
    channels = 8
    x = graph.op("Relu", graph.op("Conv", "features", graph.weight(channels, features, 1), kernel_shape=[1]))
    inner = graph.op("MatMul", graph.op("Transpose", "points", perm=[0, 2, 1]), "points")
    norm = graph.op("ReduceSum", graph.op("Mul", "points", "points"), graph.constant(np.array([1])), keepdims=1)
    nearness = graph.op(
        "Sub",
        graph.op("Sub", graph.op("Mul", inner, graph.constant(np.float32(2))), norm),
        graph.op("Transpose", norm, perm=[0, 2, 1]),
    )
    neighbours = graph.op("TopK", nearness, graph.constant(np.array([k])), outputs=2, axis=-1)
    indices = graph.op("Unsqueeze", neighbours, graph.constant(np.array([-1])))
    gathered = graph.op("GatherND", graph.op("Transpose", x, perm=[0, 2, 1]), indices, batch_dims=1)
    gathered = graph.op("Transpose", gathered, perm=[0, 3, 1, 2])
    own = graph.op("Expand", graph.op("Unsqueeze", x, graph.constant(np.array([-1]))), graph.op("Shape", gathered))
    edges = graph.op("Concat", own, graph.op("Sub", gathered, own), axis=1)
    edges = graph.op("Relu", graph.op("Conv", edges, graph.weight(12, 2 * channels, 1, 1), kernel_shape=[1, 1]))
    x = graph.op("ReduceMean", edges, graph.constant(np.array([-1])), keepdims=0)
    total = graph.op("ReduceSum", graph.op("Mul", x, "mask"), graph.constant(np.array([-1])), keepdims=0)
    x = graph.op("Div", total, graph.op("ReduceSum", "mask", graph.constant(np.array([-1])), keepdims=0))
    x = graph.op("Softmax", graph.op("Gemm", x, graph.weight(12, 4), graph.weight(4)), axis=-1)
    shapes = {"points": (2, points), "features": (features, points), "mask": (1, points)}
    return graph.build({name: ["N", *shape] for name, shape in shapes.items()}, {"y": (x, ["N", 4])}), shapes


def _sum_over(make: type, axis: int | tuple[int, ...]) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("Tanh", graph.op("MatMul", "x", graph.weight(6, 5)))
    axes = [axis] if isinstance(axis, int) else list(axis)
    x = graph.op("ReduceSum", x, graph.constant(np.array(axes)), keepdims=0)
    shape = {(1,): [5], (2,): [13], (1, 2): []}[tuple(axes)]
    return graph.build({"x": ["N", 13, 6]}, {"y": (x, ["N", *shape])}), {"x": (13, 6)}


def _images(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("Relu", graph.op("Conv", "x", graph.weight(8, 3, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.op("Relu", graph.op("Conv", x, graph.weight(7, 8, 3, 3), kernel_shape=[3, 3]))
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    return graph.build({"x": ["N", 3, 9, 11]}, {"y": (graph.op("MatMul", x, graph.weight(7, 2)), ["N", 2])}), {
        "x": (3, 9, 11)
    }


def _instance_norm(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("InstanceNormalization", "x", graph.weight(3), graph.weight(3))
    return graph.build({"x": ["N", 3, 7]}, {"y": (x, ["N", 3, 7])}), {"x": (3, 7)}


def _attention(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    q, k, v = (graph.op("MatMul", "x", graph.weight(8, 8)) for _ in range(3))
    a = graph.op("Softmax", graph.op("MatMul", q, graph.op("Transpose", k, perm=[0, 2, 1])), axis=-1)
    x = graph.op("Add", graph.op("MatMul", a, v), "x")
    x = graph.op("LayerNormalization", x, graph.weight(8), graph.weight(8), axis=-1)
    x = graph.op("ReduceMean", graph.op("Mul", x, graph.op("Erf", x)), graph.constant(np.array([1])), keepdims=0)
    return graph.build({"x": ["N", 9, 8]}, {"y": (x, ["N", 8])}), {"x": (9, 8)}


def _recurrent(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("Transpose", "x", perm=[1, 0, 2])
    x = graph.op(
        "RNN", x, graph.weight(1, 10, 9), graph.weight(1, 10, 10), graph.weight(1, 20), outputs=2, hidden_size=10
    )
    x = graph.op("Squeeze", x, graph.constant(np.array([0])))
    return graph.build({"x": ["N", 6, 9]}, {"y": (x, ["N", 10])}), {"x": (6, 9)}


def _log(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("Log", graph.op("Abs", graph.op("Sub", "x", graph.constant(np.float32(1e-3)))))
    return graph.build({"x": ["N", 7]}, {"y": (x, ["N", 7])}), {"x": (7,)}


def _packed(make: type, summed: bool) -> tuple[bytes, Shapes]:
    """Layers that run on those candidates alone that are there, as in DeepMET."""
    graph = make()
    flat = graph.op("Reshape", "x", graph.constant(np.array([-1, 4])))
    there = graph.op(
        "Greater", graph.op("Gather", flat, graph.constant(np.array(0)), axis=1), graph.constant(np.float32(0))
    )
    rows = graph.op("Transpose", graph.op("NonZero", there), perm=[1, 0])
    kept = graph.op("Tanh", graph.op("MatMul", graph.op("GatherND", flat, rows), graph.weight(4, 8)))
    if summed:
        kept = graph.op("Reshape", kept, graph.constant(np.array([-1, 8, 1])))
        kept = graph.op("ReduceSum", kept, graph.constant(np.array([1])), keepdims=0)
    else:
        kept = graph.op("MatMul", kept, graph.weight(8, 1))
    empty = graph.op(
        "Mul",
        graph.op("Slice", flat, *(graph.constant(np.array([i])) for i in (0, 1, 1))),
        graph.constant(np.float32(0)),
    )
    back = graph.op("Reshape", graph.op("ScatterND", empty, rows, kept), graph.constant(np.array([-1, 5])))
    return graph.build({"x": ["N", 5, 4]}, {"y": (back, ["N", 5])}), {"x": (5, 4)}


def _not_measured(make: type) -> tuple[bytes, Shapes]:
    graph = make()
    x = graph.op("MeanVarianceNormalization", "x", axes=[1, 2])
    return graph.build({"x": ["N", 3, 5]}, {"y": (x, ["N", 3, 5])}), {"x": (3, 5)}
