from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.exact import exactly
from sonic.firmware.fromonnx import read
from sonic.firmware.numbers import Fixed
from sonic.firmware.reference import evaluate

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
helper = onnx.helper
RANDOM = np.random.default_rng(3)
DOMAIN = "qonnx.custom_op.general"


class Graph:
    """Nodes and constants, put down one after the other."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(self, kind: str, *given: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, given, [name], name=name, domain=domain, **attributes))
        return name

    def quant(self, given: str, scale: Any, bits: Any, zero: float = 0.0, kind: str = "Quant", **how: Any) -> str:
        how = {"signed": 1, "narrow": 0, "rounding_mode": "FLOOR"} | how
        numbers = (self.constant(value) for value in (scale, zero, bits))
        return self.node(kind, given, *numbers, domain=DOMAIN, **how)

    def save(self, file: Path, shape: tuple[int, ...], version: int = 1) -> Path:
        last = self.nodes[-1].output[0]
        given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, *shape])
        made = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [given], [made], self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, version)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
        return file


def dense(graph: Graph, given: str, n_in: int, n_out: int) -> str:
    """As Brevitas has it: weights of [out, in], quantised, transposed; a bias of its own."""
    weight = graph.quant(graph.constant(RANDOM.normal(size=(n_out, n_in))), 1 / 16, 6, narrow=1, rounding_mode="ROUND")
    made = graph.node("MatMul", given, graph.node("Transpose", weight, perm=[1, 0]))
    bias = graph.quant(graph.constant(RANDOM.normal(size=n_out)), 1 / 64, 9, rounding_mode="ROUND")
    return graph.node("Add", made, bias)


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    graph = Graph()
    given = graph.quant("x", 1 / 32, 9, narrow=1, rounding_mode="ROUND")
    cut = graph.quant(graph.node("Relu", dense(graph, given, 5, 4)), 1 / 8, 6, signed=0)
    bent = graph.quant(dense(graph, cut, 4, 4), [[1 / 8, 1 / 4, 1 / 2, 1 / 8]], 6)
    graph.quant(dense(graph, bent, 4, 2), 1 / 4, 8)
    return graph.save(tmp_path / "mlp.onnx", (5,))


@pytest.fixture
def cnn(tmp_path: Path) -> Path:
    graph = Graph()
    given = graph.quant("x", 1 / 8, 7)
    weight = graph.quant(graph.constant(RANDOM.normal(size=(3, 2, 3, 3))), np.full((3, 1, 1, 1), 1 / 8), 5, narrow=1)
    scales = np.array([1 / 2, 1 / 4, 1 / 8]).reshape(1, 3, 1, 1)
    edges = graph.quant(graph.node("Conv", given, weight, pads=[1, 1, 1, 1]), scales, 7)
    pooled = graph.node("MaxPool", graph.node("Relu", edges), kernel_shape=[2, 2], strides=[2, 2])
    signs = graph.node("BipolarQuant", graph.constant(RANDOM.normal(size=(12, 2))), graph.constant(0.25), domain=DOMAIN)
    graph.quant(graph.node("MatMul", graph.node("Flatten", pooled), signs), 1 / 4, 8)
    return graph.save(tmp_path / "cnn.onnx", (2, 4, 5))


def shorter(version: int, file: Path) -> Path:
    """Numbers lose their last bits, as each version of the operator has it."""
    graph = Graph()
    given = graph.quant("x", 1 / 8, 8)
    lost = (1 / 8, 0, 8, 5) if version == 1 else (1 / 8, 0, 8, 1 / 2, 6)
    cut = graph.node("Trunc", given, *map(graph.constant, lost), domain=DOMAIN, rounding_mode="FLOOR")
    graph.quant(dense(graph, cut, 5, 3), 1 / 16, 12)
    return graph.save(file, (5,), version)


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    return shorter(1, tmp_path / "truncated.onnx")


@pytest.fixture
def rescaled(tmp_path: Path) -> Path:
    return shorter(2, tmp_path / "rescaled.onnx")


@pytest.mark.parametrize("name", ["mlp", "cnn", "truncated", "rescaled"])
def test_qonnx_gives_the_same(name: str, request: pytest.FixtureRequest) -> None:
    core = pytest.importorskip("qonnx.core.onnx_exec")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    file = request.getfixturevalue(name)
    network, precision = exactly(read(file, name))
    x = (RANDOM.normal(size=(40, *network.given_shape)) * 3).astype(np.float32)
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes")
    model = wrapper.ModelWrapper(onnx.load(file)).transform(shapes.InferShapes())
    (output,) = (each.name for each in model.graph.output)
    there = np.concatenate([core.execute_onnx(model, {"x": row[None]})[output] for row in x])
    assert np.array_equal(evaluate(network, precision, network.prepare(x)), there)


def test_quantisers_are_the_types_of_layers(mlp: Path) -> None:
    network, precision = exactly(read(mlp))
    assert precision.input == Fixed(9, 4, True, "RND", "SAT_SYM")
    first, cut, second, bent, last = (layer.name for layer in network.layers)
    assert precision.of(cut).result == Fixed(6, 3, False, "TRN", "SAT")
    assert precision.of(first).weight.total <= 6
    assert precision.of(last).result == Fixed(8, 6, True, "TRN", "SAT")
    assert "quant" in bent
    assert precision.of(second).result.fraction == 3 + 4


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"scale": 0.3}, "scales are powers of 2, given 0.3"),
        ({"scale": 0.0}, "scales are powers of 2, given 0"),
        ({"scale": -0.25}, "scales are powers of 2, given -0.25"),
        ({"bits": 3.5}, r"whole bits, given \[3\.5\]"),
        ({"zero": 3.0}, "zero points"),
        ({"rounding_mode": "UP"}, "given UP"),
        ({"rounding_mode": "SIDEWAYS"}, "rounding SIDEWAYS is not known"),
        ({"bits": 1}, r"1\.0\] bits"),
        ({"scale": [1 / 2, 1 / 4, 1 / 4, 1 / 2, 1]}, "one, or one a channel"),
    ],
)
def test_what_firmware_has_not(how: dict[str, Any], says: str, tmp_path: Path) -> None:
    graph = Graph()
    graph.quant("x", **({"scale": 0.25, "bits": 8} | how))
    with pytest.raises(ConfigError, match=says):
        read(graph.save(tmp_path / "m.onnx", (5,)))


def test_weights_whose_scale_is_no_power_of_two(tmp_path: Path) -> None:
    graph = Graph()
    weight = graph.quant(graph.constant(RANDOM.normal(size=(5, 2))), 0.3, 4)
    graph.node("MatMul", "x", weight)
    network = read(graph.save(tmp_path / "m.onnx", (5,)))
    with pytest.raises(ConfigError, match="scales that are powers of 2"):
        exactly(network)
