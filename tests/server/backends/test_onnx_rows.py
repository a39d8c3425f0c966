"""That the bits of a result do not depend on what it was batched with, and what that takes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.errors import DataError
from sonic.protocol.modelconfig import ModelConfig, parse
from sonic.server.backends import LoadContext, Rows
from sonic.server.backends.completion import complete
from sonic.server.backends.onnx import OnnxBackend
from sonic.server.backends.onnx_rows import rows_of, with_outputs
from sonic.server.execution.executing import execute
from sonic.server.execution.plan import Plan
from sonic.server.models.model import ServedModel, to_spec
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = [
    "dense",
    "dense-leaky",
    "dense-tanh",
    "dense-elu",
    "dense-softplus",
    "dense-float64",
    "edgeconv",
    "edgeconv-odd",
    "sum-over-candidates",
    "sum-over-features",
    "sum-over-both",
    "images",
    "instance-norm",
    "attention",
    "recurrent",
    "log",
    "packed",
    "not-measured",
]


def load(folder: Path, model: bytes) -> tuple[OnnxBackend, Plan]:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    backend = OnnxBackend(LoadContext("m", "1", folder, ModelConfig(), 2))
    config = complete(ModelConfig(backend="onnxruntime"), "m", backend.signature)
    reshapes = {tensor.name: tuple(tensor.reshape.shape) for tensor in config.output if tensor.HasField("reshape")}
    return backend, Plan(to_spec(config, "1"), backend.rows(), {}, reshapes)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, networks: dict[str, Any], graphs: type) -> Callable[[str], Any]:
    @cache
    def get(name: str) -> Any:
        model, shapes = networks[name](graphs)
        return (*load(tmp_path_factory.mktemp("model"), model), shapes)

    return get


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.sampled_from([1, 1, 1, 2, 3, 4, 5, 7, 16, 64]), min_size=2, max_size=7),
    seed=st.integers(0, 1000),
    shift=st.integers(0, 3),
)
def test_bits_do_not_depend_on_company(
    name: str, rows: list[int], seed: int, shift: int, loaded: Callable[[str], Any]
) -> None:
    backend, plan, shapes = loaded(name)
    random = np.random.default_rng(seed)
    dtype = plan.spec.inputs[0].dtype.numpy
    requests = [
        {
            key: (
                random.random((count, *shape)) + 0.2 if key == "mask" else random.standard_normal((count, *shape))
            ).astype(dtype)
            for key, shape in shapes.items()
        }
        for count in rows
    ]
    instance = backend.instances()[0]
    merged = execute(instance, plan, requests, rows, ["y"]).replies
    for inputs, count, together in zip(requests, rows, merged, strict=True):
        # Elsewhere in memory as well: off the wire an array begins where it happens to.
        moved = {key: _moved(array, shift) for key, array in inputs.items()}
        (alone,) = execute(instance, plan, [moved], [count], ["y"]).replies
        assert alone.outputs["y"].tobytes() == together.outputs["y"].tobytes()


def batched() -> list[str]:
    """Networks that ship and take batches; others take one event of any length."""
    found = (path.parent for path in MODELS.glob("*/config.pbtxt"))
    return sorted(path.name for path in found if parse((path / "config.pbtxt").read_text()).max_batch_size)


@pytest.mark.parametrize("name", batched())
@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.sampled_from([1, 1, 2, 3, 8]), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_the_networks_that_ship_are_merged_and_keep_their_bits(name: str, rows: list[int], seed: int) -> None:
    model = shipped(name)
    assert model.merges
    random = np.random.default_rng(seed)
    requests = [
        {
            tensor.name: _plausible(random, tensor.name, (count, *tensor.shape[1:])).astype(tensor.dtype.numpy)
            for tensor in model.spec.inputs
        }
        for count in rows
    ]
    backend, plan, wanted = model._backend, model._scheduler._plan, [tensor.name for tensor in model.spec.outputs]
    instance = backend.instances()[0]
    merged = execute(instance, plan, requests, rows, wanted).replies
    for inputs, count, together in zip(requests, rows, merged, strict=True):
        (alone,) = execute(instance, plan, [inputs], [count], wanted).replies
        assert all(alone.outputs[output].tobytes() == together.outputs[output].tobytes() for output in wanted)


@cache
def shipped(name: str) -> ServedModel:
    config = parse((MODELS / name / "config.pbtxt").read_text())
    return ServedModel(name, "1", MODELS / name / "1", config, cores=2, default_max_batch=8)


def _plausible(random: np.random.Generator, tensor: str, shape: tuple[int, ...]) -> np.ndarray:
    if "mask" in tensor:
        return random.random(shape) < random.choice([0.0, 0.02, 0.3, 1.0])  # jets of one particle, and of none
    if "cat" in tensor:
        return random.integers(0, 2, shape)
    return random.standard_normal(shape)


def _moved(array: np.ndarray, elements: int) -> np.ndarray:
    room = np.empty(array.size + elements, array.dtype)
    moved = room[elements:].reshape(array.shape)
    moved[...] = array
    return moved


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("dense", Rows()),
        ("dense-leaky", Rows()),
        ("dense-tanh", Rows()),
        ("images", Rows()),
        ("dense-elu", Rows(multiple=4)),
        ("dense-softplus", Rows(multiple=2)),
        ("dense-float64", Rows(multiple=4)),
        ("log", Rows(multiple=4)),
        ("instance-norm", Rows(multiple=4)),
        ("sum-over-candidates", Rows(least=2)),
        ("sum-over-features", Rows(multiple=4)),
        ("sum-over-both", Rows(multiple=4)),
        ("attention", Rows(least=2)),
        ("recurrent", Rows(least=2)),
        ("edgeconv", Rows(multiple=2)),
        ("edgeconv-odd", Rows(multiple=4)),
        ("packed", Rows()),
        ("packed-sum", Rows(merge=False)),
        ("not-measured", Rows(least=2, multiple=4)),
    ],
)
def test_no_more_is_done_than_needed(name: str, rows: Rows, loaded: Callable[[str], Any]) -> None:
    assert loaded(name)[1].rows == rows


def test_what_mixes_rows_is_not_merged(tmp_path: Path, graphs: type) -> None:
    graph = graphs()
    graph.op("DynamicQuantizeLinear", "x", outputs=3)
    scaled = graph.op("Cast", "t0_0", to=1)
    model = graph.build({"x": ["N", 3]}, {"y": (scaled, ["N", 3])})
    assert load(tmp_path, model)[1].rows == Rows(merge=False)


def test_what_is_computed_from_constants_is_one(tmp_path: Path, graphs: type) -> None:
    graph = graphs()
    weights = graph.op("Sub", graph.weight(3, 2), graph.weight(3, 2))
    model = graph.build({"x": ["N", 3]}, {"y": (graph.op("MatMul", "x", weights), ["N", 2])})
    assert load(tmp_path, model)[1].rows == Rows()


def test_whole_numbers_add_up_in_any_order(tmp_path: Path, graphs: type) -> None:
    graph = graphs()
    counted = graph.op("ReduceSum", graph.op("Cast", "x", to=7), graph.constant(np.array([1])), keepdims=1)
    model = graph.build({"x": ["N", 3]}, {"y": (graph.op("Cast", counted, to=1), ["N", 1])})
    assert load(tmp_path, model)[1].rows == Rows()


def test_a_loop_is_looked_into(graphs: type) -> None:
    graph, inner = graphs(), graphs()
    body = onnx.load_from_string(inner.build({"s": [3]}, {"t": (inner.op("Log", "s"), [3])})).graph
    graph.op("Scan", "x", body=body, num_scan_inputs=1)
    model = graph.build({"x": ["N", 3]}, {"y": ("t0_0", ["N", 3])})
    assert rows_of(model, lambda *_: {}) == Rows(least=2, multiple=4)


def test_axes_as_an_attribute(tmp_path: Path, graphs: type) -> None:
    graph = graphs()
    model = graph.build(
        {"x": ["N", 3, 8]}, {"y": (graph.op("ReduceMean", "x", axes=[2], keepdims=0), ["N", 3])}, opset=13
    )
    assert load(tmp_path, model)[1].rows == Rows()


def test_unknown_shapes_are_taken_for_the_worst(graphs: type) -> None:
    graph = graphs()
    model = graph.build({"x": ["N", "M"]}, {"y": (graph.op("Log", "x"), ["N", "M"])})
    assert rows_of(model, lambda *_: {}) == Rows(multiple=4)
    assert rows_of(model, lambda *_: {"x": (["N", "M"], "tensor(float)")}) == Rows(multiple=4)
    assert rows_of(model, lambda *_: {"x": (["N", 8], "tensor(float)")}) == Rows()


def test_more_outputs_are_a_model_too(graphs: type) -> None:
    graph = graphs()
    hidden = graph.op("Exp", "x")
    model = graph.build({"x": ["N", 2]}, {"y": (graph.op("Log", hidden), ["N", 2])})
    parsed = onnx.load_from_string(with_outputs(model, [hidden, "y"]))
    assert [output.name for output in parsed.graph.output] == ["y", hidden]


def test_no_onnx_model(graphs: type) -> None:
    graph = graphs()
    model = graph.build({"x": ["N", 2]}, {"y": (graph.op("Log", "x"), ["N", 2])})
    for bad in (model[:-1], b"\xff" * 20):
        with pytest.raises(DataError, match="not an ONNX model"):
            rows_of(bad, lambda *_: {})
