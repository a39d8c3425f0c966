from __future__ import annotations

import numpy as np
import pytest

from sonic.errors import InvalidRequest
from sonic.protocol.messages import InferRequest
from sonic.server.validation import check_request, shape_key
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


@pytest.mark.parametrize(
    ("inputs", "more", "text"),
    [
        ({"a": A}, {}, r"model 'm': input 'b' \(INT64 \[-1, -1\]\) is missing, given a"),
        ({"a": A, "b": B, "z": B}, {}, "model 'm' has no input 'z': it has a, b, c"),
        ({"a": A, "b": B}, {"outputs": ("q",)}, "model 'm' has no output 'q': it has y"),
        ({"a": A.astype(float), "b": B}, {}, "model 'm', input 'a': expected FP32, given FP64"),
        ({"a": A.astype(complex), "b": B}, {}, "input 'a': expected FP32, given numpy dtype complex128"),
        ({"a": A, "b": B}, {"dtypes": {"a": DType.BF16}}, "input 'a': expected FP32, given BF16"),
        ({"a": A[:, :2], "b": B}, {}, r"input 'a': expected shape \[-1, 3\], given shape \[2, 2\]"),
        ({"a": A[0], "b": B}, {}, r"input 'a': expected shape \[-1, 3\], given shape \[3\]"),
        ({"a": A[:0], "b": B}, {}, r"input 'a': expected a batch of 1 to 4 rows, given shape \[0, 3\]"),
        ({"a": np.zeros((5, 3), np.float32), "b": B}, {}, r"a batch of 1 to 4 rows, given shape \[5, 3\]"),
        ({"a": A, "b": B[:1]}, {}, r"input 'b': expected 2 rows as the inputs before it, given shape \[1, 5\]"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(inputs: dict[str, np.ndarray], more: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        check(inputs, **more)


def test_shapes_without_rows_decide_about_company() -> None:
    assert shape_key({"a": A}) == shape_key({"a": A[:1]})
    assert shape_key({"a": A}) != shape_key({"a": A[:, :2]})
    assert shape_key({"a": A, "b": B}) != shape_key({"a": A})
