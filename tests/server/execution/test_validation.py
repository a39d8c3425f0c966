from __future__ import annotations

import re

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.protocol.messages import InferRequest
from sonic.server.execution.validation import check_request, shape_key
from sonic.specs import DType, ModelSpec, TensorSpec

SPEC = ModelSpec(
    "m",
    "1",
    (
        TensorSpec("a", DType.FP32, (-1, 3)),
        TensorSpec("b", DType.INT64, (-1, -1)),
        TensorSpec("c", DType.BF16, (-1, 1), optional=True),
    ),
    (TensorSpec("y", DType.FP32, (-1, 1)),),
    max_batch_size=4,
)
A = np.zeros((2, 3), np.float32)
B = np.zeros((2, 5), np.int64)


def check(inputs: dict[str, np.ndarray], **more: object) -> tuple[dict[str, np.ndarray], int]:
    return check_request(InferRequest("m", inputs, **more), SPEC)


def test_a_good_request() -> None:
    inputs, rows = check({"b": B, "a": A}, outputs=("y",))
    assert list(inputs) == ["a", "b"]
    assert rows == 2


def test_an_optional_input() -> None:
    inputs, _ = check({"a": A, "b": B, "c": np.zeros((2, 1), np.float32)}, dtypes={"c": DType.BF16})
    assert list(inputs) == ["a", "b", "c"]


def test_byte_order_and_strings_are_made_ours() -> None:
    inputs, _ = check({"a": A.astype(">f4"), "b": B})
    assert inputs["a"].dtype == np.dtype("=f4")
    words = ModelSpec("w", "1", (TensorSpec("s", DType.BYTES, (-1,)),), ())
    inputs, _ = check_request(InferRequest("w", {"s": np.array(["a", "bc"])}), words)
    assert inputs["s"].tolist() == ["a", "bc"]


ROWS = "inference request batch-size must be <= 4 for 'm', and 1 or more:"
COUNT = "expected number of inputs between 2 and 3 but got 1 inputs for model 'm'"


@pytest.mark.parametrize(
    ("inputs", "more", "text"),
    [
        ({"a": A}, {}, f"{COUNT}. Got input(s) ['a'], but missing required input(s) ['b']. Please provide all"),
        ({"a": A, "b": B, "z": B}, {}, "unexpected inference input 'z' for model 'm': it has a, b, c"),
        ({"a": A, "b": B}, {"outputs": ("q",)}, "unexpected inference output 'q' for model 'm': it has y"),
        (
            {"a": A, "b": B},
            {"outputs": ("y", "y")},
            "Duplicate output name 'y' is not allowed in a request to model 'm'",
        ),
        ({"a": A.astype(float), "b": B}, {}, "inference input 'a' data-type is 'FP64', but model 'm' expects 'FP32'"),
        ({"a": A.astype(complex), "b": B}, {}, "inference input 'a' data-type is 'numpy dtype complex128', but"),
        ({"a": A, "b": B}, {"dtypes": {"a": DType.BF16}}, "inference input 'a' data-type is 'BF16', but"),
        ({"a": A[:, :2], "b": B}, {}, "unexpected shape for input 'a' for model 'm'. Expected [-1,3], got [2,2]"),
        ({"a": A[0], "b": B}, {}, "unexpected shape for input 'a' for model 'm'. Expected [-1,3], got [3]"),
        ({"a": A[:0], "b": B}, {}, f"{ROWS} input 'a' has shape [0,3]"),
        ({"a": np.zeros((5, 3), np.float32), "b": B}, {}, f"{ROWS} input 'a' has shape [5,3]"),
        (
            {"a": A, "b": B[:1]},
            {},
            "input 'b' batch size does not match other inputs for 'm': expected 2 rows, got [1,5]",
        ),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(inputs: dict[str, np.ndarray], more: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{re.escape(text)}"):
        check(inputs, **more)


def test_inputs_of_a_model_that_needs_them_all() -> None:
    spec = ModelSpec("m", "1", tuple(TensorSpec(name, DType.FP32, (1,)) for name in "ab"), ())
    x = np.zeros(1, np.float32)
    for inputs, text in (
        (
            {},
            "expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing required input(s) ['a','b'",
        ),
        ({"a": x, "c": x}, "unexpected inference input 'c' for model 'm'"),
        (
            dict.fromkeys("abc", x),
            "expected 2 inputs but got 3 inputs for model 'm'. Got input(s) ['a','b','c'], but the",
        ),
    ):
        with pytest.raises(InvalidRequest, match=f"^{re.escape(text)}"):
            check_request(InferRequest("m", inputs), spec)
    with pytest.raises(InvalidRequest, match=r"got 5000 inputs .*,'n63',\.\.\.\], but missing"):
        check_request(InferRequest("m", {f"n{number}": x for number in range(5000)}), spec)


def test_shapes_without_rows_decide_about_company() -> None:
    assert shape_key({"a": A}) == shape_key({"a": A[:1]})
    assert shape_key({"a": A}) != shape_key({"a": A[:, :2]})
    assert shape_key({"a": A, "b": B}) != shape_key({"a": A})
