from __future__ import annotations

import numpy as np
import pytest

from sonic.client.outputsizes import OutputSizes, kind_of
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.specs import DType


def request(rows: int, width: int = 3, model: str = "m") -> InferRequest:
    return InferRequest(model, {"x": np.zeros((rows, width), np.float32), "n": np.zeros(rows, np.int64)})


def answer(**outputs: np.ndarray) -> InferResponse:
    return InferResponse("m", "1", outputs)


@pytest.fixture
def sizes() -> OutputSizes:
    return OutputSizes()


def test_nothing_is_known_at_first(sizes: OutputSizes) -> None:
    assert sizes.of(kind_of(request(2))) is None


def test_the_same_shapes_have_the_same_answer(sizes: OutputSizes) -> None:
    sizes.learn(kind_of(request(2)), answer(y=np.zeros((2, 5), np.float32), z=np.zeros(7)))
    assert sizes.of(kind_of(request(2))) == {"y": 40, "z": 56}
    assert sizes.of(kind_of(request(2, width=4))) is None
    assert sizes.of(kind_of(request(2, model="other"))) is None


def test_rows_are_believed_when_seen_twice(sizes: OutputSizes) -> None:
    sizes.learn(kind_of(request(2)), answer(y=np.zeros((2, 5), np.float32)))
    assert sizes.of(kind_of(request(3))) == {"y": 0}
    sizes.learn(kind_of(request(4)), answer(y=np.zeros((4, 5), np.float32)))
    assert sizes.of(kind_of(request(100))) == {"y": 2000}


def test_an_output_that_does_not_grow_with_the_rows_is_known_for_those_seen(sizes: OutputSizes) -> None:
    for rows in (2, 4):
        sizes.learn(kind_of(request(rows)), answer(y=np.zeros(5)))
    assert sizes.of(kind_of(request(4))) == {"y": 40}
    assert sizes.of(kind_of(request(8))) == {"y": 0}


def test_an_output_that_depends_on_the_content_is_given_up(sizes: OutputSizes) -> None:
    kind = kind_of(request(2))
    for count in (5, 6, 7, 8):
        sizes.learn(kind, answer(y=np.zeros(count), z=np.zeros(2)))
    assert sizes.of(kind) == {"y": 0, "z": 16}


def test_a_model_that_changed_once_is_learned_anew(sizes: OutputSizes) -> None:
    kind = kind_of(request(2))
    sizes.learn(kind, answer(y=np.zeros(5)))
    sizes.learn(kind, answer(y=np.zeros(6)))
    assert sizes.of(kind) == {"y": 48}
    sizes.learn(kind, answer(other=np.zeros(3)))
    assert sizes.of(kind) == {"other": 24}


def test_texts_have_no_size_and_bfloat16_has_that_of_the_wire(sizes: OutputSizes) -> None:
    kind = kind_of(request(2))
    texts = np.array([b"a", b"bc"], object)
    outputs = {"t": texts, "h": np.zeros(6, np.float32)}
    sizes.learn(kind, InferResponse("m", "1", outputs, dtypes={"h": DType.BF16}))
    assert sizes.of(kind) == {"t": 0, "h": 12}


def test_inputs_without_common_rows(sizes: OutputSizes) -> None:
    first = InferRequest("m", {"x": np.zeros((2, 3)), "n": np.zeros(5)})
    other = InferRequest("m", {"x": np.zeros((4, 3)), "n": np.zeros(5)})
    scalar = InferRequest("m", {"x": np.zeros(())})
    for one in (first, scalar):
        sizes.learn(kind_of(one), answer(y=np.zeros(2)))
        assert sizes.of(kind_of(one)) == {"y": 16}
    assert sizes.of(kind_of(other)) is None


def test_what_is_remembered_is_bounded(sizes: OutputSizes) -> None:
    for width in range(300):
        sizes.learn(kind_of(request(2, width)), answer(y=np.zeros(2)))
    assert sizes.of(kind_of(request(2, 0))) is None
    assert sizes.of(kind_of(request(2, 299))) == {"y": 16}
    for rows in range(2000):
        sizes.learn(kind_of(request(rows)), answer(y=np.zeros(3)))
    assert sizes.of(kind_of(request(1))) == {"y": 0}
    assert sizes.of(kind_of(request(1999))) == {"y": 24}
