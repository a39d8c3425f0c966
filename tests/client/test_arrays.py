from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.client import arrays as client_arrays
from sonic.client.arrays import check_outputs, conform, empty_outputs, is_empty, join, said_dtypes, split
from sonic.errors import InvalidRequest, ModelFailed
from sonic.protocol.tensors import same_bits
from sonic.specs import DType, ModelSpec, TensorSpec

TAGGER = ModelSpec(
    "tagger",
    "1",
    (
        TensorSpec("pf", DType.FP32, (-1, 2, -1)),
        TensorSpec("n", DType.INT32, (-1, 1)),
        TensorSpec("label", DType.BYTES, (-1, 1), optional=True),
        TensorSpec("half", DType.BF16, (-1, 1), optional=True),
    ),
    (TensorSpec("score", DType.FP32, (-1, 8)),),
    max_batch_size=4,
)
GRAPH = ModelSpec(
    "graph",
    "1",
    (TensorSpec("nodes", DType.FP32, (-1, 3)), TensorSpec("edges", DType.INT64, (2, -1))),
    (TensorSpec("y", DType.FP32, (-1,)),),
)


class Unwilling:
    """Converts to no array, as a tensor of torch that requires a gradient."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("call detach()\n first")


def inputs(rows: int, **changes: object) -> dict[str, object]:
    return {"pf": np.zeros((rows, 2, 5), np.float32), "n": np.zeros((rows, 1), np.int32), **changes}


def test_what_fits_is_not_copied() -> None:
    given_inputs = inputs(3)
    made = conform(TAGGER, given_inputs)
    assert made["pf"] is given_inputs["pf"]


def test_kinds_that_are_cast() -> None:
    made = conform(
        TAGGER,
        {
            "pf": [[[1, 2.5], [3, float("nan")]]],
            "n": np.array([[7]], np.int64),
            "label": [["b"]],
            "half": np.array([[0.5]]),
        },
    )
    assert (made["pf"].dtype, made["n"].dtype, made["label"].dtype) == (np.float32, np.int32, np.object_)
    assert np.isnan(made["pf"][0, 1, 1])
    assert said_dtypes(TAGGER, made) == {"half": DType.BF16}
    assert said_dtypes(TAGGER, conform(TAGGER, inputs(1))) == {}
    assert conform(TAGGER, inputs(1, pf=np.ones((1, 2, 5), ">f4")))["pf"].dtype == np.float32
    assert conform(TAGGER, inputs(1, pf=np.ones((1, 2, 5), bool)))["pf"].tolist() == [[[1.0] * 5] * 2]


@pytest.mark.parametrize(
    "texts",
    [
        [[b"packed\0\0"], [b""]],
        [["text\0"], ["\u00b5"]],
        [("\u00b5",), ("b\0",)],
        ak.Array([[b"packed\0\0"], [b""]]),
        np.array([["text\0"], ["\u00b5"]], np.object_),
    ],
)
def test_texts_arrive_whole(texts: Any) -> None:
    label = conform(TAGGER, inputs(2, label=texts))["label"]
    assert label.dtype == np.object_
    assert label.tolist() == [list(row) for row in texts]


def test_texts_of_numpy() -> None:
    kinds = ("S", "U", np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else ("S", "U")
    for kind in kinds:
        label = conform(TAGGER, inputs(2, label=np.array([["a"], ["bc"]], kind)))["label"]
        assert [text if isinstance(text, str) else text.decode() for text in label[:, 0]] == ["a", "bc"]


def test_a_list_without_elements_is_of_any_datatype() -> None:
    node = {"nodes": [[1, 2, 3]]}
    edges = conform(GRAPH, node | {"edges": [[], []]})["edges"]
    assert (edges.dtype, edges.shape) == (np.int64, (2, 0))
    with pytest.raises(InvalidRequest, match=r"input 'edges' .* is INT64 \[2, -1\], given float64 \[2, 0\]"):
        conform(GRAPH, node | {"edges": np.empty((2, 0))})


def test_awkward_arrays_that_are_regular() -> None:
    regular = ak.to_regular(ak.Array(np.ones((2, 2, 5), np.float32)), axis=None)
    assert conform(TAGGER, inputs(2, pf=regular))["pf"].shape == (2, 2, 5)


@pytest.mark.parametrize(
    ("given_inputs", "complaint"),
    [
        ({"n": [[1]]}, r"model 'tagger' needs input 'pf' FP32 \[-1, 2, -1\]"),
        (inputs(1, other=1), "unexpected inference input 'other' for model 'tagger': it has pf, n, label, half"),
        (inputs(2, n=np.zeros((3, 1), np.int32)), "inputs of model 'tagger' differ in rows: pf 2, n 3"),
        (
            inputs(1, pf=np.zeros((1, 3, 5))),
            r"input 'pf' of model 'tagger' is FP32 \[-1, 2, -1\], given float64 \[1, 3, 5\]",
        ),
        (inputs(1, pf=np.float32(1)), r"input 'pf' of model 'tagger' is FP32 \[-1, 2, -1\], given float32 \[\]"),
        (inputs(1, n=[[1.5]]), r"input 'n' .* is INT32 \[-1, 1\], given float64 \[1, 1\], .*not cast without loss"),
        (inputs(1, n=np.ones((1, 1), np.complex64)), "input 'n' .*, given complex64 .*"),
        (inputs(1, n=[["1"]]), "input 'n' .*, given <U1 .*"),
        (inputs(1, label=[[1]]), "input 'label' of model 'tagger' is BYTES .*, given int64 .*"),
        (inputs(1, n=[[2**40]]), r"input 'n' .* is INT32 \[-1, 1\], which cannot hold the value 1099511627776 given"),
        (
            inputs(1, pf=np.full((1, 2, 5), 1e200)),
            r"input 'pf' .* is FP32 \[-1, 2, -1\], which cannot hold values as large as given",
        ),
        (inputs(1, pf=[[[1, 2], [3]]]), "input 'pf' of model 'tagger' is not a rectangular array: .*"),
        (
            inputs(2, pf=ak.Array([[[1.0], [2]], [[1, 2], [3, 4]]])),
            "input 'pf' of model 'tagger' is not a rectangular array: .*",
        ),
        (
            inputs(1, n=Unwilling()),
            r"input 'n' of model 'tagger' cannot be made an array: RuntimeError: call detach\(\) first",
        ),
        (
            inputs(1, n=np.ma.array([[1]], mask=[[True]])),
            "input 'n' of model 'tagger' has masked values: fill them first",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given_inputs: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{complaint}$"):
        conform(TAGGER, given_inputs)


def test_a_mask_that_masks_nothing() -> None:
    made = conform(TAGGER, inputs(1, n=np.ma.array([[1]], mask=[[False]])))
    assert type(made["n"]) is np.ndarray


def test_no_rows() -> None:
    nothing = conform(TAGGER, inputs(0))
    assert is_empty(TAGGER, nothing)
    outputs = empty_outputs(TAGGER)
    assert (outputs["score"].shape, outputs["score"].dtype) == ((0, 8), np.float32)
    assert not is_empty(TAGGER, conform(TAGGER, inputs(1)))


def test_no_rows_without_a_batch_dimension() -> None:
    free = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1, 2)),), (TensorSpec("y", DType.BYTES, (-1, -1)),))
    assert is_empty(free, conform(free, {"x": np.empty((0, 2), np.float32)}))
    assert not is_empty(free, {}), "its inputs may be optional"
    assert empty_outputs(free)["y"].shape == (0, 0)
    # What a graph of no nodes gives, only the model knows.
    empty_graph = {"nodes": np.empty((0, 3), np.float32), "edges": np.empty((2, 0), np.int64)}
    assert not is_empty(GRAPH, conform(GRAPH, empty_graph))


@given(st.integers(1, 30))
def test_split_and_joined_in_order(rows: int) -> None:
    made = conform(TAGGER, inputs(rows, n=np.arange(rows).reshape(rows, 1)))
    parts = split(TAGGER, made)
    assert [len(part["n"]) for part in parts[:-1]] == [4] * (len(parts) - 1)
    assert 1 <= len(parts[-1]["n"]) <= 4
    whole = join(parts)
    assert all(same_bits(whole[name], made[name]) for name in made)
    assert np.shares_memory(parts[0]["n"], made["n"])


def test_parts_that_differ_in_more_than_their_rows() -> None:
    parts = [{"n": np.zeros((4, 1)), "y": np.zeros((4, size))} for size in (3, 5)]
    with pytest.raises(ModelFailed, match=r"^output 'y' of the requests .* cannot be put together: .* 3 .* 5$"):
        join(parts)


def test_a_model_without_batch_dimension_is_not_split() -> None:
    made = {"nodes": np.zeros((100, 3), np.float32), "edges": np.zeros((2, 7), np.int64)}
    assert split(GRAPH, made) == [made]


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ({}, "model 'tagger' left out its output 'score'"),
        ({"score": np.zeros((2, 8))}, "output 'score' of model 'tagger' is float64, declared FP32"),
        ({"score": np.zeros((3, 8), np.float32)}, r"output 'score' of model 'tagger' has shape \[3, 8\] for 2 rows"),
        ({"score": np.zeros((), np.float32)}, r"output 'score' of model 'tagger' has shape \[\] for 2 rows"),
    ],
)
def test_outputs_that_were_not_declared(outputs: dict[str, np.ndarray], complaint: str) -> None:
    with pytest.raises(ModelFailed, match=f"^{complaint}$"):
        check_outputs(TAGGER, conform(TAGGER, inputs(2)), outputs)


def test_outputs_as_declared() -> None:
    outputs = {"score": np.full((2, 8), np.nan, np.float32)}
    checked = check_outputs(TAGGER, conform(TAGGER, inputs(2)), outputs)["score"]
    assert np.shares_memory(checked, outputs["score"])
    assert client_arrays.check_outputs(GRAPH, {}, {"y": np.zeros(5, np.float32)})


def test_outputs_are_read_only_whatever_made_them() -> None:
    made = {"score": np.zeros((2, 8), np.float32)}
    checked = check_outputs(TAGGER, conform(TAGGER, inputs(2)), made)
    joined = client_arrays.join([checked, checked])
    for outputs in (checked, joined, client_arrays.empty_outputs(TAGGER)):
        with pytest.raises(ValueError, match="read-only"):
            outputs["score"][...] = 1
    assert made["score"].flags.writeable, "it is the model's"
