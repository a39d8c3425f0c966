"""The ONNX networks that are served: their weights are random, and the same in every run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPSET = 17
_IR_VERSION = 8  # which runtimes of some years ago read as well
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_EXPANSION = 4


class _Builder:
    """Nodes and weights of a graph, in the order of execution."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(15)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = out or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weights(self, *shape: int, inputs: int) -> str:
        """Add random weights of a layer with so many inputs, of a size that keeps values near one."""
        name = f"w{len(self._weights)}"
        values = self._random.normal(scale=(2 / inputs) ** 0.5, size=shape).astype(np.float32)
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def whole_numbers(self, *values: int) -> str:
        """Add constants."""
        name = f"n{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def model(self, input_shape: Sequence[int | str], output_shape: Sequence[int | str]) -> bytes:
        """Return the serialised model, from ``in`` to ``out``, both float32."""
        graph = helper.make_graph(
            self._nodes,
            "graph",
            [helper.make_tensor_value_info("in", TensorProto.FLOAT, list(input_shape))],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(output_shape))],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def dense(sizes: Sequence[int] = (15, 50, 30, 1)) -> bytes:
    """Return a dense network: float32 ``in`` [rows, first size] to ``out`` [rows, last size]."""
    builder, x = _Builder(), "in"
    layers = list(pairwise(sizes))
    for number, (inputs, outputs) in enumerate(layers, 1):
        given = (x, builder.weights(inputs, outputs, inputs=inputs), builder.weights(outputs, inputs=inputs))
        if number == len(layers):
            builder.add("Gemm", *given, out="out")
        else:
            x = builder.add("Relu", builder.add("Gemm", *given))
    return builder.model(["rows", sizes[0]], ["rows", sizes[-1]])


def identity() -> bytes:
    """Return a network that copies float32 ``in`` [values] to ``out``."""
    builder = _Builder()
    builder.add("Identity", "in", out="out")
    return builder.model(["values"], ["values"])


def first() -> bytes:
    """Return a network that takes the first of float32 ``in`` [values] as ``out`` [1], whatever their number."""
    builder = _Builder()
    bounds = [builder.whole_numbers(value) for value in (0, 1)]
    builder.add("Slice", "in", *bounds, out="out")
    return builder.model(["values"], [1])


def resnet50() -> bytes:
    """Return ResNet-50 as it is deployed, normalisations folded into the convolutions.

    From float32 ``in`` [batch, 3, 224, 224] to ``out`` [batch, 1000]. Source: K. He et al., arXiv 1512.03385.
    """
    builder = _Builder()
    channels = 3

    def convolution(x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        fan_in = inputs * size * size
        kernel = builder.weights(outputs, inputs, size, size, inputs=fan_in)
        bias = builder.weights(outputs, inputs=fan_in)
        return builder.add("Conv", x, kernel, bias, strides=[stride] * 2, pads=[size // 2] * 4)

    x = builder.add("Relu", convolution("in", channels, 64, 7, 2))
    x = builder.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (width, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = builder.add("Relu", convolution(x, channels, width, 1))
            y = builder.add("Relu", convolution(y, width, width, 3, stride))
            y = convolution(y, width, width * _EXPANSION, 1)
            if not block:
                x = convolution(x, channels, width * _EXPANSION, 1, stride)
            channels = width * _EXPANSION
            x = builder.add("Relu", builder.add("Add", x, y))
    x = builder.add("Flatten", builder.add("GlobalAveragePool", x))
    builder.add(
        "Gemm", x, builder.weights(channels, 1000, inputs=channels), builder.weights(1000, inputs=channels), out="out"
    )
    return builder.model(["batch", 3, 224, 224], ["batch", 1000])
