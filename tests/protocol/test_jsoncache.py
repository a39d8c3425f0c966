from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest
from sonic.protocol import http_codec
from sonic.protocol.form import ALL_BINARY, PLAIN, Form, Place, Placement, Span
from sonic.protocol.jsoncache import RequestReader, ResponseWriter
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.repeats import LENGTHY_BYTES
from sonic.protocol.tensors import same_bits
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    Same = Callable[[InferRequest, InferRequest], bool]

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {
    "plain": {"x": X, "n": np.arange(3)},
    "no rows": {"x": np.empty((0, 3), np.float32), "n": np.arange(3)},
    "a scalar": {"x": np.array(2.5, np.float16)},
    "transposed": {"x": X.T},
    "swapped": {"x": X.astype(">f4")},
    "bool": {"x": X > 2},
    "text": {"x": np.array([b"a", b"bc"], object)},
}
REQUESTS = {
    **{what: InferRequest("m", arrays, "2") for what, arrays in ARRAYS.items()},
    "all that can be said": InferRequest("m", {"x": X}, "2", "7", ("y", "z"), {"priority": 1, "own": "p"}, 0.25),
    "classes": InferRequest("m", {"x": X}, "2", outputs=("y",), classes={"y": 2}),
    "bfloat16": InferRequest("m", {"x": X}, "2", dtypes={"x": DType.BF16}),
    "bfloat16 of no rows": InferRequest("m", {"x": X[:0]}, "2", dtypes={"x": DType.BF16}),
    "nothing": InferRequest("m", {}, "2"),
}


def test_what_has_to_be_gone_through_one_by_one_is_lengthy() -> None:
    read = RequestReader()
    number = np.ones(LENGTHY_BYTES, np.float32)
    body, length = http_codec.request_to_wire(InferRequest("m", {"x": number}))
    assert not read.lengthy(body, length)
    assert read.lengthy(body, None)
    assert read.lengthy(body, LENGTHY_BYTES)
    assert not read.lengthy(body, -1)
    body, length = http_codec.request_to_wire(InferRequest("m", {"x": np.full(LENGTHY_BYTES, b"", object)}))
    assert read.lengthy(body, length)
    body, length = http_codec.request_to_wire(InferRequest("m", {"x": np.full(3, b"", object)}))
    assert not read.lengthy(body, None)


@pytest.mark.parametrize("what", REQUESTS)
def test_a_request_reads_the_same_however_often_it_came(same_request: Same, what: str) -> None:
    read = RequestReader()
    body, length = http_codec.request_to_wire(REQUESTS[what])
    expected, expected_form = http_codec.request_from_wire(body, length, "m", "2")
    for _ in range(4):
        got, form = read(memoryview(bytearray(body)).toreadonly(), length, "m", "2")
        assert same_request(got, expected)
        assert form == expected_form
        assert all(array.flags.aligned for array in got.inputs.values())


def test_other_values_of_the_same_form() -> None:
    read = RequestReader()
    for factor in range(5):
        request, _ = read(*http_codec.request_to_wire(InferRequest("m", {"x": factor * X})), "m")
        assert same_bits(request.inputs["x"], factor * X)


@pytest.mark.parametrize("left", [-1, 1])
def test_a_body_of_another_length_is_refused_each_time(left: int) -> None:
    read = RequestReader()
    body, length = http_codec.request_to_wire(REQUESTS["plain"])
    for _ in range(3):
        read(body, length, "m")
    for _ in range(3):
        with pytest.raises(InvalidRequest, match=r"unexpected size for input|bytes of the binary tail belong to none"):
            read((body + b"x")[: len(body) + left], length, "m")


def test_the_place_of_an_output_is_looked_up_each_time(remapped: Any) -> None:
    read = RequestReader()
    request = InferRequest("m", {"x": X}, outputs=("y",))
    body, length = http_codec.request_to_wire(request, Placement({}, {"y": Span("r", 0, 24)}, remapped))
    for memory in remapped.memories:
        _, form = read(body, length, "m", "", remapped)
        assert form.places["y"].memory is memory


def test_models_are_told_apart() -> None:
    read = RequestReader()
    body, length = http_codec.request_to_wire(REQUESTS["plain"])
    for _ in range(4):
        for model, version in (("m", ""), ("m", "2"), ("n", "")):
            request, _ = read(body, length, model, version)
            assert (request.model, request.version) == (model, version)


def test_what_becomes_of_one_request_is_not_seen_in_the_next() -> None:
    read = RequestReader()
    body, length = http_codec.request_to_wire(REQUESTS["all that can be said"])
    for _ in range(4):
        request, _ = read(body, length, "m")
        assert request.parameters == {"priority": 1, "own": "p"}
        request.parameters.clear()  # type: ignore[attr-defined]


@given(st.integers(0, 10**6), st.integers(0, 255), st.just(0) | st.integers(-3, 3), st.just(0) | st.integers(-9, 9))
def test_bodies_that_differ_anywhere_are_read_anew(
    same_request: Same, position: int, value: int, longer: int, shift: int
) -> None:
    read = RequestReader()
    body, length = http_codec.request_to_wire(InferRequest("m", {"x": X, "n": np.arange(4, dtype=np.int8)}))
    for _ in range(3):
        read(body, length, "m")
    changed = bytearray(body + bytes(longer) if longer >= 0 else body[:longer])
    changed[position % len(changed)] = value
    length += shift
    expected: InferRequest | None = None
    with suppress(InvalidRequest):
        expected, _ = http_codec.request_from_wire(bytes(changed), length, "m")
    for _ in range(3):
        if expected is None:
            with pytest.raises(InvalidRequest):
                read(bytes(changed), length, "m")
        else:
            assert same_request(read(bytes(changed), length, "m")[0], expected)


def test_tensors_that_are_not_in_the_tail_are_read_each_time() -> None:
    content = bytearray(24)

    class Memory:
        def view(self, span: Span) -> memoryview:
            return memoryview(bytes(content))[: span.byte_size]

    read = RequestReader()
    placement = Placement({"x": Span("r", 0, 24)}, {}, Memory())
    shared, length = http_codec.request_to_wire(InferRequest("m", {"x": X}), placement)
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": X.tolist()}
    plain = json.dumps({"inputs": [tensor], "outputs": [{"name": "y"}]}).encode()
    for value in range(4):
        content[:] = np.full(6, value, np.float32).tobytes()
        assert (read(shared, length, "m", regions=Memory())[0].inputs["x"] == value).all()
        for header_length in (None, len(plain)):
            request, form = read(plain, header_length, "m")
            assert same_bits(request.inputs["x"], X)
            assert not form.is_binary("y")


def test_what_is_remembered_is_bounded() -> None:
    read, write = RequestReader(), ResponseWriter()
    for rows in range(1000):
        for _ in range(2):
            read(*http_codec.request_to_wire(InferRequest("m", {"x": np.zeros(rows)})), "m")
            write(InferResponse("m", "1", {"y": np.zeros(rows)}), ALL_BINARY)
    assert len(read._known) <= 256
    assert len(write._known) <= 256
    read = RequestReader()
    body, length = http_codec.request_to_wire(InferRequest("m", {"x": X}, id="long" * 10_000))
    for _ in range(3):
        read(body, length, "m")
    assert not read._known


@pytest.mark.parametrize("what", ARRAYS)
def test_a_response_is_written_the_same_however_often(what: str) -> None:
    write = ResponseWriter()
    arrays = {name: array.copy() for name, array in ARRAYS[what].items()}
    responses = [
        InferResponse("m", "1", arrays),
        InferResponse("m", "2", arrays),
        InferResponse("m", "1", arrays, "id"),
        InferResponse("m", "1", arrays, parameters={"p": 1}),
        InferResponse("m", "1", {"bf": X}, dtypes={"bf": DType.BF16}),
        InferResponse("m", "1", {}),
    ]
    forms = [ALL_BINARY, Form(named={"x": True, "n": True})]
    if arrays["x"].dtype != np.float16:
        forms += [PLAIN, Form(binary=True, named={"x": False})]
    for _ in range(4):
        for form in forms:
            for response in responses:
                if "bf" in response.outputs and form is not ALL_BINARY:
                    continue
                parts, length = write(response, form)
                expected, expected_length = http_codec.response_to_wire(response, form)
                assert (b"".join(parts), length) == (b"".join(expected), expected_length)
        for array in arrays.values():  # other values of the same form
            if array.dtype.kind == "f":
                array += 1


def test_a_response_that_goes_to_shared_memory_does_so_every_time() -> None:
    write = ResponseWriter()
    for value in range(1, 5):
        memory = bytearray(24)
        form = Form(binary=True, places={"y": Place(Span("r", 0, 24), memoryview(memory))})
        y = np.full((2, 3), value, np.float32)
        parts, _ = write(InferResponse("m", "1", {"z": X, "y": y}), form)
        assert [bytes(part) for part in parts[1:]] == [X.tobytes()]
        assert bytes(memory) == y.tobytes()
