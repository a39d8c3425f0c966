"""Networks that ship, and their likes, as firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest

import sonic
from sonic.errors import ConfigError
from sonic.firmware.build import build
from sonic.firmware.fromonnx import read
from sonic.firmware.hls import write
from sonic.firmware.layers import Convolution, InverseRoot, Upsampling
from sonic.firmware.network import Network
from sonic.firmware.numbers import Fixed
from sonic.firmware.precision import Precision
from sonic.firmware.reference import evaluate
from sonic.firmware.synthesis import Synthesis
from sonic.firmware.verify import verify
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
WIDE = Precision.uniform(Fixed(20, 10, rounding="RND", overflow="SAT"))


@pytest.fixture(scope="module")
def edge_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of the tracker's graph network: the score of an edge by what its hits are by then."""
    from onnx.utils import Extractor

    whole = onnx.shape_inference.infer_shapes(onnx.load(MODELS / "trackgnn" / "1" / "model.onnx"))
    layers = [node for node in whole.graph.node if any(name.startswith("edge.") for name in node.input)]
    first, last = ([node for node in layers if f"edge.{n}.weight" in node.input][-1] for n in (0, 9))
    file: Path = tmp_path_factory.mktemp("edge") / "edge.onnx"
    onnx.save(Extractor(whole).extract_model([first.input[0]], [last.output[0]]), file)
    return file


def both(file: Path, rows: np.ndarray, precision: Precision = WIDE) -> tuple[np.ndarray, np.ndarray]:
    """Return what ONNX Runtime and what fixed point make of rows."""
    network = read(file)
    session = ort.InferenceSession(file)
    (expected,) = session.run(None, {session.get_inputs()[0].name: rows})
    prepared = network.prepare(rows)
    assert np.allclose(evaluate(network, None, prepared), expected, rtol=1e-3, atol=1e-3)
    return expected, evaluate(network, precision, prepared)


def test_a_step_of_the_trackers_graph_network(edge_file: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 134)).astype(np.float32)
    expected, fixed = both(edge_file, rows)
    assert len([layer for layer in read(edge_file).layers if isinstance(layer, InverseRoot)]) == 3
    assert np.abs(fixed - expected).max() < 0.2 * expected.std()
    with pytest.raises(ConfigError, match="hls4ml is given no InverseRoot; the route da4ml may have it"):
        write(read(edge_file), Precision(), Synthesis(), edge_file.parent / "edge")


def test_electrons_in_the_calorimeter() -> None:
    from sonic.workloads.ecal.images import draw
    from sonic.workloads.ecal.simulation import electrons

    file = MODELS / "deepcalo-tiny" / "1" / "model.onnx"
    network = read(file)
    assert [layer.times for layer in network.layers if isinstance(layer, Upsampling)] == [(1, 5)]
    assert network.normalisation is not None
    expected, fixed = both(file, draw(electrons(6, seed=1)))
    assert np.allclose(fixed, expected, rtol=0.05, atol=0.5)


def test_large_convolutions_share_multipliers(tmp_path: Path) -> None:
    """Quartus' writer puts weights from 2,048 on into banks of memory."""
    pytest.importorskip("hls4ml")
    weight = np.random.default_rng(1).normal(size=(3, 3, 16, 24))
    layer = Convolution("c", ("x",), weight, np.zeros(24), (1, 1), ((0, 0), (0, 0)))
    synthesis = Synthesis(writer="Quartus", stream=True, strategy="resource", reuse=9)
    write(Network("n", "x", (6, 6, 16), (layer,)), Precision(), synthesis, tmp_path / "n")
    assert "hls_numbanks" in next((tmp_path / "n" / "firmware" / "weights").glob("w*.h")).read_text()


def test_jets_in_a_trigger_are_served(tmp_path: Path) -> None:
    """Rows that are normalised, and a softmax: with tables of roots and exponentials, by logic with all their bits."""
    pytest.importorskip("da4ml")
    random = np.random.default_rng(3)
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"]),
        onnx.helper.make_node("LayerNormalization", ["h1", "g1", "s1"], ["n1"]),
        onnx.helper.make_node("Relu", ["n1"], ["r1"]),
        onnx.helper.make_node("LayerNormalization", ["r1", "g1"], ["n2"]),  # which has no product before it
        onnx.helper.make_node("Gemm", ["n2", "w2"], ["h2"]),
        onnx.helper.make_node("Softmax", ["h2"], ["y"]),
    ]
    shapes = {"w1": (5, 4), "b1": (4,), "g1": (4,), "s1": (4,), "w2": (4, 3)}
    constants = [
        onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 5), ("y", 3))
    ]
    graph = onnx.helper.make_graph(nodes, "jets", ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "jets.onnx")

    rows = random.normal(size=(50, 5)).astype(np.float32)
    precision = Precision.uniform(Fixed(11, 4, rounding="RND", overflow="SAT"))
    expected, fixed = both(tmp_path / "jets.onnx", rows, precision)
    made = build(read(tmp_path / "jets.onnx", "jets"), precision, tmp_path / "jets" / "1", route="da4ml")
    assert verify(made, rows, random_rows=50).exact
    with sonic.Model(f"local:{tmp_path}/jets") as served:
        assert np.array_equal(served(x=rows)["y"], fixed.astype(np.float32))
    assert np.median(np.abs(fixed - expected)) < 0.03
