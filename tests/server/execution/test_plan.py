from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ModelFailed, Unsupported
from sonic.protocol.proto.model_config_pb2 import BatchInput
from sonic.server.execution.executing import execute, execute_calls
from sonic.server.execution.instances import Call, CallInstance, Instance, Reply, Rows
from sonic.server.execution.plan import Plan
from sonic.server.execution.ragged import MadeInput, Ragged
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Function(Instance):
    """Runs a function of ``x``, and keeps what it was given."""

    def __init__(self, function: Callable[[np.ndarray], Any] = lambda x: {"y": 2 * x}) -> None:
        self.function = function
        self.given: list[np.ndarray] = []

    def run(self, inputs: Mapping[str, np.ndarray], wanted: Sequence[str]) -> Any:
        self.given.append(inputs["x"])
        return self.function(inputs["x"])


def plan(batch: int = 8, rows: Rows | None = None, **reshape: dict[str, tuple[int, ...]]) -> Plan:
    shape = (-1, 2) if batch else (2,)
    spec = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, shape),), (TensorSpec("y", DType.FP32, shape),), batch)
    return Plan(spec, rows or Rows(), reshape.get("inputs", {}), reshape.get("outputs", {}))


def request(rows: int, first: float = 0.0) -> dict[str, np.ndarray]:
    return {"x": np.arange(first, first + 2 * rows, dtype=np.float32).reshape(rows, 2)}


def test_a_request_alone_is_not_copied() -> None:
    instance, inputs = Function(), request(3)
    done = execute(instance, plan(), [inputs], [3], ["y"])
    assert instance.given[0] is inputs["x"]
    np.testing.assert_array_equal(done.replies[0].outputs["y"], 2 * inputs["x"])
    assert min(done.input_ns, done.infer_ns, done.output_ns) >= 0


def test_requests_are_merged_and_parted() -> None:
    instance, requests = Function(), [request(1), request(3, 10), request(2, 50)]
    done = execute(instance, plan(), requests, [1, 3, 2], ["y"])
    assert [len(given) for given in instance.given] == [6]
    for inputs, reply in zip(requests, done.replies, strict=True):
        np.testing.assert_array_equal(reply.outputs["y"], 2 * inputs["x"])


def test_responses_say_what_the_instance_does() -> None:
    instance = Function()
    instance.parameters = {"modelled": True}
    done = execute(instance, plan(), [request(1), request(2)], [1, 2], ["y"])
    assert [reply.parameters for reply in done.replies] == [{"modelled": True}] * 2


def test_too_few_rows_are_repeated() -> None:
    instance = Function()
    done = execute(instance, plan(rows=Rows(least=2)), [request(1, 7)], [1], ["y"])
    np.testing.assert_array_equal(instance.given[0], [[7, 8], [7, 8]])
    np.testing.assert_array_equal(done.replies[0].outputs["y"], [[14, 16]])


@given(
    rows=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    multiple=st.sampled_from([1, 2, 4]),
    least=st.integers(1, 3),
)
def test_every_request_starts_at_a_multiple(rows: list[int], multiple: int, least: int) -> None:
    instance = Function()
    requests = [request(count, 100.0 * i) for i, count in enumerate(rows)]
    done = execute(instance, plan(batch=100, rows=Rows(least=least, multiple=multiple)), requests, rows, ["y"])
    (given,) = instance.given
    assert len(given) >= least
    assert len(given) % multiple == 0 or len(given) == least
    start = 0
    for inputs, count, reply in zip(requests, rows, done.replies, strict=True):
        assert start % multiple == 0
        np.testing.assert_array_equal(given[start : start + count], inputs["x"])
        np.testing.assert_array_equal(reply.outputs["y"], 2 * inputs["x"])
        start += -(-count // multiple) * multiple


def test_a_model_without_batch_dimension() -> None:
    x = np.array([1, 2], np.float32)
    done = execute(Function(), plan(batch=0), [{"x": x}], [1], ["y"])
    np.testing.assert_array_equal(done.replies[0].outputs["y"], 2 * x)


def test_a_strided_input_is_made_contiguous() -> None:
    instance = Function()
    execute(instance, plan(), [{"x": np.zeros((2, 3), np.float32).T[:, ::-1]}], [3], ["y"])
    assert instance.given[0].flags.c_contiguous


def test_bytes_are_merged() -> None:
    spec = ModelSpec("m", "1", (TensorSpec("x", DType.BYTES, (-1,)),), (TensorSpec("y", DType.BYTES, (-1,)),), 8)
    words = [np.array([b"a", b""], np.object_), np.array([b"long one"], np.object_)]
    done = execute(
        Function(lambda x: {"y": x}), Plan(spec, Rows(), {}, {}), [{"x": array} for array in words], [2, 1], ["y"]
    )
    assert [reply.outputs["y"].tolist() for reply in done.replies] == [[b"a", b""], [b"long one"]]


def test_reshape_both_ways() -> None:
    instance = Function()
    done = execute(instance, plan(inputs={"x": (2, 1)}, outputs={"y": (2, 1)}), [request(3)], [3], ["y"])
    assert instance.given[0].shape == (3, 2, 1)
    assert done.replies[0].outputs["y"].shape == (3, 2)


@pytest.mark.parametrize("batch", [0, 8])
def test_reshape_where_several_sizes_are_open(batch: int) -> None:
    shape = (*([-1] if batch else []), -1, 2, -1)
    spec = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, shape),), (TensorSpec("y", DType.FP32, shape),), batch)
    instance = Function()
    x = np.arange(24, dtype=np.float32).reshape(*([1] if batch else []), 3, 2, 4)
    reshape = {"x": (2, -1, 1, -1)}, {"y": (2, -1, 1, -1)}
    done = execute(instance, Plan(spec, Rows(), *reshape), [{"x": x}], [1], ["y"])
    assert instance.given[0].shape[bool(batch) :] == (2, 3, 1, 4)
    np.testing.assert_array_equal(done.replies[0].outputs["y"], 2 * x)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({}, "model 'm' did not return output 'y'"),
        ({"y": np.zeros((3, 2))}, r"model 'm', output 'y': expected FP32, the model gave numpy dtype float64"),
        ({"y": np.zeros((2, 2), np.float32)}, r"expected shape \[3, 2\], the model gave shape \[2, 2\]"),
        ({"y": np.zeros((3, 2, 1), np.float32)}, r"expected shape \[3, 2\], the model gave shape \[3, 2, 1\]"),
        (None, "model 'm' failed: AttributeError"),
    ],
)
def test_what_the_model_had_not_declared(result: object, text: str) -> None:
    with pytest.raises(ModelFailed, match=text):
        execute(Function(lambda x: result), plan(), [request(3)], [3], ["y"])


@pytest.mark.parametrize("error", [ZeroDivisionError("no\nmore"), MemoryError(), SystemExit(3)])
def test_what_the_model_raises(error: BaseException) -> None:
    def fail(_: np.ndarray) -> None:
        raise error

    with pytest.raises(ModelFailed, match=f"model 'm' failed: {type(error).__name__}") as caught:
        execute(Function(fail), plan(), [request(3)], [3], ["y"])
    assert "\n" not in str(caught.value)
    assert "in fail" in caught.value.__notes__[0], "the traceback of the model is not there"
    assert caught.value.__cause__ is None


def test_an_error_of_our_own_passes() -> None:
    def fail(_: np.ndarray) -> None:
        raise Unsupported("not this")

    with pytest.raises(Unsupported, match="not this"):
        execute(Function(fail), plan(), [request(3)], [3], ["y"])


def test_nan_is_a_result() -> None:
    done = execute(Function(lambda x: {"y": x * np.float32("nan")}), plan(), [request(2)], [2], ["y"])
    assert np.isnan(done.replies[0].outputs["y"]).all()


class Listed(CallInstance):
    """Runs a function of the list of requests."""

    def __init__(self, function: Callable[[Sequence[Call]], Any]) -> None:
        self.function = function

    def run_calls(self, calls: Sequence[Call]) -> Any:
        return self.function(calls)


def calls(*rows: int) -> list[Call]:
    return [Call(request(count), ("y",), id=str(count)) for count in rows]


def test_requests_can_be_given_as_they_are() -> None:
    seen: list[tuple[str, int]] = []

    def double(given: Sequence[Call]) -> list[Reply]:
        seen.extend((call.id, len(call.inputs["x"])) for call in given)
        return [Reply({"y": 2 * call.inputs["x"]}) for call in given]

    done, errors = execute_calls(Listed(double), plan(rows=Rows(multiple=4)), calls(1, 3), [1, 3])
    assert seen == [("1", 1), ("3", 3)]
    assert [len(reply.outputs["y"]) for reply in done.replies] == [1, 3]
    assert not errors


def test_an_answer_that_is_wrong_is_an_error_of_its_request_alone() -> None:
    outcomes = [Reply({"y": request(1)["x"]}), Unsupported("no"), Reply({"y": request(1)["x"]}), Reply({})]
    done, errors = execute_calls(Listed(lambda given: outcomes), plan(), calls(1, 1, 2, 1), [1, 1, 2, 1])
    assert len(done.replies) == 1
    assert {position: type(error) for position, error in errors.items()} == {
        1: Unsupported,
        2: ModelFailed,
        3: ModelFailed,
    }
    assert "expected shape [2, 2], the model gave shape [1, 2]" in str(errors[2])
    assert "did not return output 'y'" in str(errors[3])


def test_inputs_of_requests_are_reshaped() -> None:
    shapes: list[tuple[int, ...]] = []

    def look(given: Sequence[Call]) -> list[Reply]:
        shapes.extend(call.inputs["x"].shape for call in given)
        return [Reply({"y": call.inputs["x"].reshape(-1, 2)}) for call in given]

    execute_calls(Listed(look), plan(inputs={"x": (1, 2)}), calls(1, 3), [1, 3])
    execute_calls(
        Listed(lambda given: [Reply({"y": given[0].inputs["x"][0]})]),
        plan(0, inputs={"x": (1, 2)}),
        [Call({"x": request(1)["x"][0]}, ("y",))],
        [1],
    )
    assert shapes == [(1, 1, 2), (3, 1, 2)]


def test_parameters_of_replies_are_passed_on() -> None:
    said = [Reply(request(1) | {"y": request(1)["x"]}, {"mass": 1.5}), Reply({"y": request(1)["x"]})]
    done, _ = execute_calls(Listed(lambda given: said), plan(), calls(1, 1), [1, 1])
    assert [dict(reply.parameters) for reply in done.replies] == [{"mass": 1.5}, {}]


def test_what_the_server_makes_of_a_request_comes_with_it() -> None:
    made: list[list[int]] = []

    def look(given: Sequence[Call]) -> list[Reply]:
        made.extend(call.inputs["n"].tolist() for call in given)
        return [Reply({"y": call.inputs["x"]}) for call in given]

    ends = MadeInput("n", BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT, DType.INT32, "x")
    ragged = Ragged(frozenset({"x"}), (ends,), {})
    execute_calls(Listed(look), replace(plan(), ragged=ragged), calls(1, 3), [1, 3])
    assert made == [[2], [6]]  # each by itself: nothing is merged


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_answers(count: int) -> None:
    with pytest.raises(ModelFailed, match=f"gave {count} responses to 2 requests"):
        execute_calls(Listed(lambda given: [Reply({})] * count), plan(), calls(1, 1), [1, 1])


def test_a_list_that_fails_as_a_whole() -> None:
    def fail(given: Sequence[Call]) -> Any:
        raise ValueError("bad")

    with pytest.raises(ModelFailed, match="model 'm' failed: ValueError: bad"):
        execute_calls(Listed(fail), plan(), calls(1), [1])
