from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from sonic.errors import ConfigError, InvalidRequest, ModelFailed
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.server.backends import Instance, Rows
from sonic.server.execution.executing import execute
from sonic.server.execution.plan import Plan
from sonic.server.execution.ragged import Ragged, ragged_of
from sonic.server.models.model import ServedModel
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

X = 'max_batch_size: 16 input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }'
SHAPED = 'max_batch_size: 16 input { name: "x" data_type: TYPE_FP32 dims: [ -1, -1 ] allow_ragged_batch: true }'


def made(kind: str, *arrays: np.ndarray, dtype: str = "INT32", inputs: str = SHAPED) -> np.ndarray:
    text = f'batch_input {{ kind: {kind} target_name: "n" data_type: TYPE_{dtype} source_input: "x" }}'
    ragged = ragged_of(parse(inputs + text))
    assert ragged is not None
    flat = ragged.flatten([{"x": array} for array in arrays])
    np.testing.assert_array_equal(flat["x"], np.concatenate([array.reshape(-1) for array in arrays]))
    assert flat["n"].dtype == DType[dtype].numpy
    return flat["n"]


FIRST, SECOND = np.ones((2, 3, 1), np.float32), np.ones((1, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [6, 4]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [6, 10]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 6, 10]),
        ("BATCH_ITEM_SHAPE", [[3, 1], [3, 1], [2, 2]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [3, 1, 3, 1, 2, 2]),
    ],
)
@pytest.mark.parametrize("dtype", ["INT32", "FP32"])
def test_what_a_batch_is_made_of(kind: str, expected: list[Any], dtype: str) -> None:
    assert made(kind, FIRST, SECOND, dtype=dtype).tolist() == expected


def test_the_largest_count_is_a_shape() -> None:
    assert made("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", FIRST, SECOND).shape == (6,)


@given(st.lists(hnp.arrays(np.float32, st.tuples(st.just(1), st.integers(0, 9)), elements=st.just(1.0)), min_size=1))
def test_counts_add_up(arrays: list[np.ndarray]) -> None:
    counts = made("BATCH_ELEMENT_COUNT", *arrays, inputs=X)
    ends = made("BATCH_ACCUMULATED_ELEMENT_COUNT", *arrays, inputs=X)
    np.testing.assert_array_equal(np.diff(made("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", *arrays, inputs=X)), counts)
    np.testing.assert_array_equal(np.cumsum(counts), ends)


def test_nothing_ragged() -> None:
    assert ragged_of(parse("max_batch_size: 4")) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }', "max_batch_size of 1"),
        (X + "batch_input { data_type: TYPE_INT32 source_input: 'x' }", "has one target_name, given 0"),
        (X + "batch_input { target_name: 'n' data_type: TYPE_INT32 }", "has one source_input, given 0"),
        (X + "batch_input { target_name: 'n' data_type: TYPE_INT64 source_input: 'x' }", "given TYPE_INT64"),
        (X + "batch_input { target_name: 'n' data_type: TYPE_INT32 source_input: 'y' }", "no input 'y', there is x"),
        (X + "batch_input { target_name: 'x' data_type: TYPE_INT32 source_input: 'x' }", "already an input 'x'"),
        (X + "batch_output { target_name: 'y' source_input: 'x' }", "expected an output and an input"),
        (
            X + "output { name: 'y' dims: [ 2, 2 ] } batch_output { target_name: 'y' source_input: 'x' }",
            "unlike numbers of dimensions",
        ),
        (
            X + "output { name: 'y' dims: [ 2 ] }" + 2 * "batch_output { target_name: 'y' source_input: 'x' }",
            "there twice",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ragged_of(parse(text))


class Doubled(Instance):
    """Doubles every element of a flat input, and adds the sum of the rows of a regular one."""

    def __init__(self, cut: int = 0) -> None:
        self.cut = cut

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        flat = 2 * inputs["x"]
        return {"y": flat[self.cut :], "s": inputs["k"].sum(axis=1, keepdims=True)}


def scattering() -> Plan:
    spec = ModelSpec(
        "m",
        "1",
        (TensorSpec("x", DType.FP32, (-1, -1)), TensorSpec("k", DType.FP32, (-1, 2))),
        (TensorSpec("y", DType.FP32, (-1, -1)), TensorSpec("s", DType.FP32, (-1, 1))),
        16,
    )
    ragged = Ragged(frozenset({"x"}), (), {"y": ("x", (-1, -1))})
    return Plan(spec, Rows(), {}, {}, ragged)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=6))
def test_what_comes_back_flat_is_cut_as_it_was(shapes: list[tuple[int, int]]) -> None:
    requests = [
        {"x": np.full(shape, number, np.float32), "k": np.full((shape[0], 2), number, np.float32)}
        for number, shape in enumerate(shapes)
    ]
    done = execute(Doubled(), scattering(), requests, [shape[0] for shape in shapes], ["y", "s"])
    for number, (outputs, shape) in enumerate(zip([r.outputs for r in done.replies], shapes, strict=True)):
        np.testing.assert_array_equal(outputs["y"], np.full(shape, 2 * number))
        np.testing.assert_array_equal(outputs["s"], np.full((shape[0], 1), 2 * number))


def test_a_model_that_gives_too_little_has_failed() -> None:
    inputs = {"x": np.ones((1, 3), np.float32), "k": np.ones((1, 2), np.float32)}
    with pytest.raises(ModelFailed, match=r"output 'y': expected 3 elements as the requests have them.*\[2\]"):
        execute(Doubled(cut=1), scattering(), [inputs], [1], ["y"])


# ---- an ONNX model ------------------------------------------------------------------------------------------------

SEGMENTS = """max_batch_size: 16 dynamic_batching { preferred_batch_size: 3 max_queue_delay_microseconds: 60000000 }
    input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
    output { name: "total" data_type: TYPE_FP32 dims: [ 1 ] }
    output { name: "share" data_type: TYPE_FP32 dims: [ -1 ] }
    batch_input {
        kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO target_name: "ends" data_type: TYPE_INT32 source_input: "x"
    }
    batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "share" source_input: "x" }"""


def segments() -> bytes:
    """Sums over every request, and each element's share of its own sum."""
    one = [("zero", np.array([0])), ("one", np.array([1])), ("far", np.array([2**31 - 1])), ("origin", np.array(0.0))]
    node = helper.make_node
    nodes = [
        node("Cast", ["ends"], ["bounds"], to=TensorProto.INT64),
        node("Slice", ["bounds", "one", "far"], ["upper"]),  # without the first
        node("Size", ["x"], ["size"]),
        node("Cast", ["size"], ["size64"], to=TensorProto.INT64),
        node("Range", ["nought", "size64", "step"], ["index"]),
        node("Unsqueeze", ["index", "one"], ["column"]),
        node("GreaterOrEqual", ["column", "upper"], ["past"]),  # [elements, requests]
        node("Cast", ["past"], ["past64"], to=TensorProto.INT64),
        node("ReduceSum", ["past64", "one"], ["segment"], keepdims=0),
        node("Shape", ["upper"], ["requests"]),
        node("ConstantOfShape", ["requests"], ["empty"]),
        node("ScatterElements", ["empty", "segment", "x"], ["sums"], axis=0, reduction="add"),
        node("Unsqueeze", ["sums", "one"], ["total"]),
        node("Gather", ["sums", "segment"], ["own"]),
        node("Div", ["x", "own"], ["share"]),
    ]
    scalars = [("nought", np.array(0)), ("step", np.array(1))]
    graph = helper.make_graph(
        nodes,
        "segments",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["elements"]),
            helper.make_tensor_value_info("ends", TensorProto.INT32, ["bounds"]),
        ],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["requests", 1]),
            helper.make_tensor_value_info("share", TensorProto.FLOAT, ["elements"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in one + scalars],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


@pytest.fixture
def model(folder: Any) -> Any:
    folder.onnx("segments", segments(), SEGMENTS)
    path = folder.path / "segments"
    served = ServedModel("segments", "1", path / "1", parse(SEGMENTS), cores=1, default_max_batch=16)
    yield served
    served.close()


def test_requests_of_different_lengths_go_together(model: ServedModel) -> None:
    assert [tensor.name for tensor in model.spec.inputs] == ["x"], "what the server makes no client sends"
    assert model.merges
    lists = [[1.0, 2.0, 3.0], [4.0], [5.0, 5.0]]
    futures = [model.submit(InferRequest("segments", {"x": np.array([x], np.float32)})) for x in lists]
    responses = [future.result(10) for future in futures]
    assert [r.outputs["total"].tolist() for r in responses] == [[[6.0]], [[4.0]], [[10.0]]]
    for values, response in zip(lists, responses, strict=True):
        np.testing.assert_allclose(response.outputs["share"], [np.array(values) / sum(values)], rtol=1e-6)
    row = model.statistics()
    assert (row.execution_count, row.inference_count) == (1, 3)


def test_only_some_outputs(model: ServedModel) -> None:
    x = np.array([[1.0, 3.0]], np.float32)
    futures = [model.submit(InferRequest("segments", {"x": x}, outputs=("share",))) for _ in range(3)]
    assert [list(future.result(10).outputs) for future in futures] == [["share"]] * 3


def test_what_the_server_makes_is_refused_from_clients(model: ServedModel) -> None:
    ends = np.array([[0, 1]], np.int32)
    with pytest.raises(InvalidRequest, match=r"Got input\(s\) \['x','ends'\], but the model has \['x'\]"):
        model.submit(InferRequest("segments", {"x": np.ones((1, 1), np.float32), "ends": ends}))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("TYPE_INT32", "TYPE_FP32"), "batch_input 'ends' is FP32, in the file INT32"),
        (('"ends"', '"other"'), "the file has no input 'other'"),
        (("ELEMENT_COUNT_WITH_ZERO", "x"), "no enum|has no value"),
        (("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", "BATCH_ITEM_SHAPE"), r"reaches the model as \[-1, -1\]"),
    ],
)
def test_the_configuration_must_fit_the_file(change: tuple[str, str], complaint: str, folder: Any) -> None:
    folder.onnx("segments", segments())
    with pytest.raises(ConfigError, match=complaint):
        ServedModel(
            "segments",
            "1",
            folder.path / "segments" / "1",
            parse(SEGMENTS.replace(*change)),
            cores=1,
            default_max_batch=16,
        )


def test_a_ragged_input_is_flat_in_the_file(folder: Any, make_dense: Callable[..., bytes]) -> None:
    folder.onnx("a", make_dense())
    text = 'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] allow_ragged_batch: true }'
    with pytest.raises(ConfigError, match=r"ragged input 'x' reaches the model as \[-1\], in the file it is \[-1, 4\]"):
        ServedModel("a", "1", folder.path / "a" / "1", parse(text), cores=1, default_max_batch=16)
