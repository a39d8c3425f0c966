from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, ModelFailed
from sonic.protocol import grpc_codec
from sonic.protocol.form import Form, Place, Placement, Span
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.repeats import LENGTHY_BYTES
from sonic.protocol.tensors import same_bits
from sonic.protocol.wirecache import RequestReader, RequestWriter, ResponseReader, ResponseWriter
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable

    Same = Callable[[InferRequest, InferRequest], bool]

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ODD = {
    "plain": {"x": X, "n": np.arange(3)},
    "no rows": {"x": np.empty((0, 3), np.float32), "n": np.arange(3)},
    "a scalar": {"x": np.array(2.5, np.float16)},
    "transposed": {"x": X.T},
    "swapped": {"x": X.astype(">f4")},
    "bool": {"x": X > 2},
    "text": {"x": np.array([b"a", b"bc"], object)},
}


@pytest.mark.parametrize("timeout_s", [None, 1e-9, 0.25, 1e12])
@pytest.mark.parametrize("what", ODD)
def test_a_request_is_the_same_to_its_reader_however_often_it_was_written(what: str, timeout_s: float | None) -> None:
    write = RequestWriter()
    request = InferRequest("m", ODD[what], "2", outputs=("y", "z"), timeout_s=timeout_s)
    expected, _ = grpc_codec.request_from_wire(grpc_codec.request_to_wire(request))
    for _ in range(4):
        got, _ = grpc_codec.request_from_wire(write(request))
        assert (got.model, got.version, got.outputs, got.timeout_s) == ("m", "2", ("y", "z"), expected.timeout_s)
        assert list(got.inputs) == list(expected.inputs)
        assert all(same_bits(got.inputs[name], array) for name, array in expected.inputs.items())


UNPLAIN = {
    "BF16 of no rows": (DType.BF16, 0, b""),
    "BOOL that is neither 0 nor 1": (DType.BOOL, 2, b"\x02\x00"),
    "BYTES as long as a pointer": (DType.BYTES, 2, b"\4\0\0\0abcd" * 2),
}


@pytest.mark.parametrize("what", UNPLAIN)
def test_contents_that_are_no_plain_numbers_are_read_each_time(same_request: Same, what: str) -> None:
    read = RequestReader()
    dtype, size, content = UNPLAIN[what]
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[content])
    message.inputs.add(name="x", datatype=dtype.name, shape=[size])
    data = message.SerializeToString()
    expected, _ = grpc_codec.request_from_wire(data)
    for _ in range(4):
        got, _ = read(data)
        assert same_request(got, expected)
        assert got.dtype("x") is dtype
        if dtype is DType.BOOL:
            assert got.inputs["x"].view(np.uint8).tolist() == [1, 0]


def test_what_has_to_be_gone_through_one_by_one_is_lengthy() -> None:
    read = RequestReader()
    numbers = np.ones(LENGTHY_BYTES, np.float32)
    raw = grpc_codec.request_to_wire(InferRequest("m", {"x": numbers}))
    for _ in range(3):  # known or not
        assert not read.lengthy(raw)
        read(raw)
    typed = pb.ModelInferRequest(model_name="m")
    typed.inputs.add(name="x", datatype="FP32", shape=numbers.shape).contents.fp32_contents.extend(numbers)
    assert read.lengthy(typed.SerializeToString())
    assert read.lengthy(grpc_codec.request_to_wire(InferRequest("m", {"x": np.full(LENGTHY_BYTES, b"", object)})))
    assert not read.lengthy(grpc_codec.request_to_wire(InferRequest("m", {"x": np.full(3, b"", object)})))
    assert not read.lengthy(b"\x0b" * LENGTHY_BYTES)  # no message


def test_requests_that_differ_are_told_apart() -> None:
    write = RequestWriter()
    requests = [
        InferRequest("m", {"x": X}),
        InferRequest("m", {"y": X}),
        InferRequest("n", {"x": X}),
        InferRequest("m", {"x": X}, "1"),
        InferRequest("m", {"x": X.astype(np.float64)}),
        InferRequest("m", {"x": X.reshape(3, 2)}),
        InferRequest("m", {"x": X}, outputs=("y",)),
        InferRequest("m", {"x": X}, parameters={"priority": 1}),
        InferRequest("m", {"x": X}, id="7"),
        InferRequest("m", {"x": X}, outputs=("y",), classes={"y": 2}),
        InferRequest("m", {"x": X}, dtypes={"x": DType.BF16}),
        InferRequest("m", {}),
    ]
    for _ in range(3):
        for request in requests:
            assert write(request) == grpc_codec.request_to_wire(request)


def test_other_values_of_the_same_form() -> None:
    write = RequestWriter()
    for factor in range(5):
        request = InferRequest("m", {"x": factor * X})
        assert write(request) == grpc_codec.request_to_wire(request)


def test_a_request_that_cannot_be_written_is_refused_every_time() -> None:
    write = RequestWriter()
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="complex64 has no counterpart"):
            write(InferRequest("m", {"x": X.astype(np.complex64)}))


def test_what_is_remembered_is_bounded() -> None:
    write, read, answer, take = RequestWriter(), ResponseReader(), ResponseWriter(), RequestReader()
    for rows in range(1000):
        for _ in range(2):
            take(write(InferRequest("m", {"x": np.zeros(rows)})))
            read(b"".join(answer(InferResponse("m", "1", {"y": np.zeros(rows)}))))
    assert len(write._known) <= 256
    assert len(answer._known) <= 256
    assert len(read._layouts) <= 256
    assert len(take._layouts) <= 256


@pytest.mark.parametrize("what", ODD)
def test_a_response_reads_the_same_however_often_it_came(what: str) -> None:
    read = ResponseReader()
    data = grpc_codec.response_to_wire(InferResponse("m", "1", ODD[what], "id", {"p": 1}))
    expected = grpc_codec.response_from_wire(data)
    for _ in range(4):
        got = read(bytes(data))
        assert (got.model, got.version, got.id, got.parameters, got.dtypes) == ("m", "1", "id", {"p": 1}, {})
        assert list(got.outputs) == list(expected.outputs)
        for name, array in expected.outputs.items():
            assert same_bits(got.outputs[name], array)
            assert got.outputs[name].flags.aligned


def test_bfloat16_keeps_its_name() -> None:
    read = ResponseReader()
    data = grpc_codec.response_to_wire(InferResponse("m", "1", {"y": X}, dtypes={"y": DType.BF16}))
    for _ in range(4):
        got = read(data)
        assert got.dtypes == {"y": DType.BF16}
        assert same_bits(got.outputs["y"], X)


@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 3))
def test_bytes_that_differ_anywhere_are_read_anew(position: int, value: int, cut: int) -> None:
    read = ResponseReader()
    data = grpc_codec.response_to_wire(InferResponse("model", "1", {"y": X, "z": np.arange(4, dtype=np.int8)}))
    for _ in range(3):
        read(data)
    changed = bytearray(data)
    changed[position % len(data)] = value
    expected: InferResponse | None = None
    with suppress(ModelFailed):
        expected = grpc_codec.response_from_wire(bytes(changed))
    for _ in range(3):
        if expected is None:
            with pytest.raises(ModelFailed):
                read(bytes(changed))
        else:
            got = read(bytes(changed))
            assert (got.model, got.version, got.id) == (expected.model, expected.version, expected.id)
            assert list(got.outputs) == list(expected.outputs)
            assert all(same_bits(got.outputs[name], array) for name, array in expected.outputs.items())
    if cut:
        with pytest.raises(ModelFailed):
            read(data[:-cut])


def test_answers_of_one_length_are_told_apart() -> None:
    read = ResponseReader()
    answers = [
        grpc_codec.response_to_wire(InferResponse("m", "1", {"y": array}))
        for array in (X, X.reshape(3, 2), X.astype(np.int32), X + 1)
    ]
    assert len({len(data) for data in answers}) == 2  # INT32 is a letter longer than FP32
    for _ in range(4):
        for data in answers:
            expected = grpc_codec.response_from_wire(data).outputs["y"]
            assert same_bits(read(data).outputs["y"], expected)


ASKED = {
    "plain": InferRequest("m", ODD["plain"], "2", "7", ("y", "z"), {"priority": 1, "own": "p"}, 0.25),
    "two inputs of one size": InferRequest("m", {"x": X, "w": -X}),
    "classes": InferRequest("m", {"x": X}, outputs=("y",), classes={"y": 2}),
    "bfloat16": InferRequest("m", {"x": X}, dtypes={"x": DType.BF16}),
    "nothing": InferRequest("m", {}),
    **{what: InferRequest("m", arrays) for what, arrays in ODD.items() if what != "plain"},
}


@pytest.mark.parametrize("what", ASKED)
def test_a_request_reads_the_same_however_often_it_came(same_request: Same, what: str) -> None:
    read = RequestReader()
    data = grpc_codec.request_to_wire(ASKED[what])
    expected, expected_form = grpc_codec.request_from_wire(data)
    for _ in range(4):
        got, form = read(memoryview(bytearray(data)).toreadonly())
        assert same_request(got, expected)
        assert form == expected_form
        assert all(array.flags.aligned for array in got.inputs.values())


def test_what_becomes_of_one_request_is_not_seen_in_the_next() -> None:
    read = RequestReader()
    data = grpc_codec.request_to_wire(ASKED["plain"])
    for _ in range(4):
        request, _ = read(data)
        assert request.parameters == {"priority": 1, "own": "p"}
        request.parameters.clear()  # type: ignore[attr-defined]


@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 3))
def test_requests_that_differ_anywhere_are_read_anew(same_request: Same, position: int, value: int, cut: int) -> None:
    read = RequestReader()
    data = grpc_codec.request_to_wire(InferRequest("model", {"x": X, "n": np.arange(4, dtype=np.int8)}, outputs=("y",)))
    for _ in range(3):
        read(data)
    changed = bytearray(data)
    changed[position % len(data)] = value
    expected: InferRequest | None = None
    with suppress(InvalidRequest):
        expected, _ = grpc_codec.request_from_wire(bytes(changed))
    for _ in range(3):
        if expected is None:
            with pytest.raises(InvalidRequest):
                read(bytes(changed))
        else:
            assert same_request(read(bytes(changed))[0], expected)
    if cut:
        with pytest.raises(InvalidRequest):
            read(data[:-cut])


def test_every_byte_around_the_contents_counts(same_request: Same) -> None:
    read = RequestReader()
    asked = InferRequest("model", {"x": X, "n": np.arange(4, dtype=np.int8)}, outputs=("y",), parameters={"own": "p"})
    data = grpc_codec.request_to_wire(asked)
    for _ in range(3):
        read(data)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            expected, _ = grpc_codec.request_from_wire(bytes(changed))
        except InvalidRequest:
            with pytest.raises(InvalidRequest):
                read(changed)
        else:
            assert same_request(read(changed)[0], expected), position


def test_the_place_of_an_output_is_looked_up_each_time(remapped: Any) -> None:
    read = RequestReader()
    placement = Placement({}, {"y": Span("r", 0, 24)}, remapped)
    data = grpc_codec.request_to_wire(InferRequest("m", {"x": X}, outputs=("y",)), placement)
    for memory in remapped.memories:
        _, form = read(data, remapped)
        assert form.places["y"].memory is memory


def test_tensors_in_shared_memory_are_looked_up_each_time() -> None:
    content = bytearray(24)

    class Memory:
        def view(self, span: Span) -> memoryview:
            return memoryview(bytes(content))[: span.byte_size]

    placement = Placement({"x": Span("r", 0, 24)}, {}, Memory())
    bare = grpc_codec.request_to_wire(InferRequest("m", {"x": X}), placement)
    beside = pb.ModelInferRequest.FromString(grpc_codec.request_to_wire(InferRequest("m", {"x": X, "w": X}), placement))
    beside.raw_input_contents.insert(0, b"")  # as some clients have it
    for data in (bare, beside.SerializeToString()):
        read = RequestReader()
        for value in range(4):
            content[:] = np.full(6, value, np.float32).tobytes()
            request, _ = read(data, Memory())
            assert (request.inputs["x"] == value).all()


@pytest.mark.parametrize("what", ODD)
def test_a_response_is_written_the_same_however_often(what: str) -> None:
    write = ResponseWriter()
    responses = [
        InferResponse("m", "1", ODD[what]),
        InferResponse("m", "2", ODD[what]),
        InferResponse("m", "1", ODD[what], "id"),
        InferResponse("m", "1", ODD[what], parameters={"p": 1}),
        InferResponse("m", "1", {**ODD[what], "bf": X}, dtypes={"bf": DType.BF16}),
    ]
    for _ in range(4):
        for response in responses:
            assert b"".join(write(response)) == grpc_codec.response_to_wire(response)
            for name, array in response.outputs.items():  # other values of the same form
                if array.dtype.kind == "f" and name != "bf":
                    array += 1


def test_a_response_that_goes_to_shared_memory_does_so_every_time() -> None:
    write = ResponseWriter()
    for value in range(1, 5):
        memory = bytearray(24)
        form = Form(places={"y": Place(Span("r", 0, 24), memoryview(memory))})
        y = np.full((2, 3), value, np.float32)
        sent = b"".join(write(InferResponse("m", "1", {"z": X, "y": y}), form))
        assert X.tobytes() in sent
        assert y.tobytes() not in sent
        assert bytes(memory) == y.tobytes()


def test_a_request_that_says_much_is_not_kept() -> None:
    read = RequestReader()
    data = grpc_codec.request_to_wire(InferRequest("m", {"x": X}, parameters={"long": "p" * 10_000}))
    for _ in range(4):
        read(data)
    assert not any(read._layouts._known.values())
