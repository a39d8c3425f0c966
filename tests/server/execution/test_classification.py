from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sonic.errors import ConfigError, InvalidRequest
from sonic.protocol.messages import InferRequest
from sonic.protocol.proto.model_config_pb2 import ModelConfig
from sonic.server.execution.classification import check_classes, classify, read_labels
from sonic.specs import DType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path


def test_the_largest_values_first() -> None:
    values = np.array([[0.1, 15.34623, -2.0], [7.0, 7.0, np.nan]], np.float32)
    assert classify(values, 2, ("cat", "dog"), batched=True).tolist() == [
        [b"15.346230:1:dog", b"0.100000:0:cat"],
        [b"7.000000:0:cat", b"7.000000:1:dog"],
    ]
    assert classify(values[1], 9, batched=False).tolist() == [b"7.000000:0", b"7.000000:1", b"nan:2"]


def test_integers_are_written_whole() -> None:
    assert classify(np.array([3, -4, 2**40]), 2, batched=False).tolist() == [f"{2**40}:2".encode(), b"3:0"]
    assert classify(np.array([2**64 - 1, 2], np.uint64), 1, batched=False).tolist() == [f"{2**64 - 1}:0".encode()]


def test_a_row_of_several_dimensions_is_flat() -> None:
    values = np.arange(12, dtype=np.int32).reshape(2, 2, 3)
    assert classify(values, 1, batched=True).tolist() == [[b"5:5"], [b"11:5"]]
    assert classify(np.empty((2, 0), np.float32), 3, batched=True).shape == (2, 0)


ELEMENTS = st.floats(width=64) | st.sampled_from([np.nan, -np.inf, -1.0, 0.0, 1.0])  # some of them equal


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=ELEMENTS), st.integers(1, 25))
def test_it_agrees_with_a_sort(values: np.ndarray, count: int) -> None:
    given = [int(text.split(b":")[1]) for text in classify(values, count, batched=False)]
    expected = sorted(
        range(len(values)), key=lambda i: (np.isnan(values[i]), -values[i] if values[i] == values[i] else 0, i)
    )
    assert given == expected[: min(count, len(values))]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_of_many_that_are_equal_the_first_come_first(dtype: Any) -> None:
    values = np.zeros(10_000, dtype)
    values[[7000, 9000]] = 1
    texts = classify(values, 5, batched=False).tolist()
    assert [int(text.split(b":")[1]) for text in texts] == [7000, 9000, 0, 1, 2]


def test_rows_that_are_empty_cost_nothing() -> None:
    assert classify(np.zeros((2**31 - 1, 0), np.float32), 3, batched=True).shape == (2**31 - 1, 0)
    assert classify(np.zeros((2**31 - 1, 0), np.float32), 3, batched=False).shape == (0,)


def test_which_outputs_can_be_classes() -> None:
    spec = ModelSpec(
        "m", "1", (), (TensorSpec("y", DType.FP32, (-1,)), *(TensorSpec(k, DType[k], (-1,)) for k in ("FP16", "BYTES")))
    )
    check_classes(InferRequest("m", {}, outputs=("y",), classes={"y": 3}), spec)
    for outputs, classes, text in (
        (
            ("FP16",),
            {"FP16": 2},
            "model 'm', output 'FP16': class result not available .* due to unsupported type 'FP16'",
        ),
        (("BYTES",), {"BYTES": 2}, "unsupported type 'BYTES'"),
        (("y",), {"FP16": 2}, "output 'FP16': wanted as 2 classes, and not among the outputs wanted"),
    ):
        with pytest.raises(InvalidRequest, match=text):
            check_classes(InferRequest("m", {}, outputs=outputs, classes=classes), spec)


def test_label_files(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "labels.txt").write_bytes("cat\r\ndog\n\nvögel\n".encode())
    config = ModelConfig()
    config.output.add(name="y", label_filename="labels.txt")
    config.output.add(name="z")
    assert read_labels(config, folder) == {"y": ("cat", "dog", "", "vögel")}
    (tmp_path / "secret").write_text("x")
    for name, text in (("absent", "cannot be read: No such file"), ("../secret", "is not in the model's folder")):
        config.output[0].label_filename = name
        with pytest.raises(ConfigError, match=rf"output 'y': label_filename '{name}' {text}"):
            read_labels(config, folder)
    (folder / "latin").write_bytes(b"\xff")
    config.output[0].label_filename = "latin"
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_labels(config, folder)
