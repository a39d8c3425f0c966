from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, ModelFailed, Unsupported
from sonic.protocol import http_codec as codec
from sonic.protocol.form import Form
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing import strategies

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.protocol.form import Span


@given(strategies.infer_requests())
def test_every_request_comes_back(check_arrays: Callable[..., None], request: InferRequest) -> None:
    body, header_length = codec.request_to_wire(request)
    json.loads(body[:header_length])
    back, form = codec.request_from_wire(body, header_length, request.model, request.version)
    for field in ("model", "version", "id", "outputs", "parameters", "timeout_s", "dtypes"):
        assert getattr(back, field) == getattr(request, field), field
    check_arrays(back.inputs, request.inputs, request.dtypes)
    assert all(form.is_binary(name) for name in (request.outputs or ("any",)))


@given(strategies.infer_responses(), st.booleans(), st.lists(strategies.names, max_size=2))
def test_every_response_comes_back(response: InferResponse, binary: bool, others: list[str]) -> None:
    form = Form(binary, dict.fromkeys(others, not binary))
    try:
        parts, header_length = codec.response_to_wire(response, form)
    except InvalidRequest:
        hard = (DType.BYTES, DType.FP16, DType.BF16)
        assert any(response.dtype(n) in hard and not form.is_binary(n) for n in response.outputs)
        return
    back = codec.response_from_wire(b"".join(parts), header_length)
    for field in ("model", "version", "id", "parameters", "dtypes"):
        assert getattr(back, field) == getattr(response, field), field
    assert list(back.outputs) == list(response.outputs)
    for name, array in response.outputs.items():
        assert back.outputs[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back.outputs[name], array)


@given(strategies.infer_requests(), st.integers(0, 200), st.integers(0, 255), st.integers(-3, 300))
def test_a_damaged_request_ends_in_a_request_or_in_one_error(
    request: InferRequest, at: int, octet: int, length: int
) -> None:
    body, header_length = codec.request_to_wire(request)
    changed = bytearray(body)
    if at < len(changed):
        changed[at] = octet
    for data, size in ((bytes(changed), header_length), (body[:at], header_length), (body, length), (body, None)):
        with suppress(InvalidRequest, Unsupported):
            assert isinstance(codec.request_from_wire(data, size, "m")[0], InferRequest)


ONE_PLACE = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    "'shared_memory_region' in 'parameters'"
)


def document(**fields: object) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], **fields}]}).encode()


def test_json_request_as_people_write_it() -> None:
    body = b"""{"id": "4", "parameters": {"priority": 1, "timeout": 2000000}, "unknown": [1],
      "inputs": [{"name": "x", "datatype": "INT32", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
                 {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["\\u00e9"]},
                 {"name": "f", "datatype": "FP32", "shape": [3], "data": [1, NaN, -Infinity]}],
      "outputs": [{"name": "y", "parameters": {"binary_data": true}}, {"name": "z"}]}"""
    request, form = codec.request_from_wire(body, None, "m", "2")
    assert request.inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert request.inputs["s"].tolist() == ["é".encode()]
    np.testing.assert_array_equal(request.inputs["f"], np.array([1, np.nan, -np.inf], np.float32))
    assert (request.model, request.version, request.id) == ("m", "2", "4")
    assert request.outputs == ("y", "z")
    assert request.timeout_s == 2
    assert request.parameters == {"priority": 1}
    assert form.is_binary("y")
    assert not form.is_binary("z")


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("body", "header_length", "text"),
    [
        (b"{", None, "the body is not an infer request: .*"),
        (b"[]", None, "the body is not an infer request: .*"),
        (b"{}", None, "the body is not an infer request: .*inputs.*"),
        (b'{"inputs": NaN}', None, "the body is not an infer request: Expected `array`, got `float`.*"),
        (b'{"inputs": [], "id": "\\ud800", "x": NaN}', None, "the body is not an infer request: .*"),
        (b'{"inputs": [], "id": "\xed\xa0\x80", "x": NaN}', None, "the body is not an infer request: .*"),
        (b'{"inputs": ' * 100_000, None, "the body is not an infer request: .*"),
        (b'{"x": NaN, "inputs": ' + b"[" * 100_000, None, "the body is not an infer request: .*"),
        (document(data=[1, 10**4000]), None, "input 'x' for model 'm': a value is out of the range of FP32"),
        (
            document(shape=[2**62] * 400, data=[]),
            None,
            "input 'x' for model 'm': a shape has at most 64 dimensions, given 400",
        ),
        (
            document(parameters={"binary_data_size": 2**64}),
            None,
            ".*: unexpected size for input 'x', expecting a number of 65 bits additional bytes for model 'm'",
        ),
        (b"{}", 5, r"inference header size should be in range \(0, 2\), got: 5: Inference-Header-Content-Length"),
        (b"{}", -1, r"inference header size should be in range \(0, 2\), got: -1: .*"),
        (document(), None, rf"input 'x' for model 'm': {ONE_PLACE}. But no field is set"),
        (
            document(data=[1]),
            None,
            r"input 'x' for model 'm': Unable to parse 'data': Shape does not match true shape of 'data' field: "
            r"FP32 \[2\] is 2 values, given 1",
        ),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]}',
            None,
            r"the body is not an infer request: Object missing required field `shape` - at `\$\.inputs\[0\]`",
        ),
        (
            b'{"inputs": [{"name": "x", "shape": [1], "data": [1]}]}',
            None,
            r"the body is not an infer request: Object missing required field `datatype` - at `\$\.inputs\[0\]`",
        ),
        (document(data=["a", 1]), None, "input 'x' for model 'm': 'a' is not a value of FP32"),
        (document(datatype="FP8", data=[1, 2]), None, "input 'x' for model 'm': unknown datatype 'FP8'.*"),
        (
            document(parameters={"binary_data_size": 8}),
            None,
            "input 'x' for model 'm': unexpected size for input 'x', expecting 8 additional bytes for model 'm'",
        ),
        (document(parameters={"binary_data_size": -8}), None, "input 'x' for model 'm': binary_data_size .*, given -8"),
        (
            document(parameters={"binary_data_size": "8"}),
            None,
            "input 'x' for model 'm': binary_data_size .*, given '8'",
        ),
        (
            document(data=[1, 2], parameters={"binary_data_size": 0}),
            None,
            rf"input 'x' for model 'm': {ONE_PLACE}. But set 'data' 'binary_data_size'",
        ),
        (
            document(data=[1, 2]) + b"left",
            len(document(data=[1, 2])),
            "unexpected additional input data for model 'm': 4 bytes of the binary tail belong to none",
        ),
        (
            b'{"inputs":[],"parameters":{"binary_data_output":3}}',
            None,
            "parameter binary_data_output is true or false, given 3",
        ),
        (
            b'{"inputs":[],"parameters":{"sequence_id":-1}}',
            None,
            "parameter sequence_id is a whole number of 64 bits or a text, given -1",
        ),
        (
            document(data=nested(120)),
            None,
            r"input 'x' for model 'm': JSON nesting depth exceeds maximum allowed limit \(100\)",
        ),
        (document(data=[[1], 2]), None, "input 'x' for model 'm': data mixes values and lists"),
        (b'{"inputs":' + b"[" * 100_000, None, "the body is not an infer request: .*"),
        (b'{"inputs":[],"more":' + b"[" * 100_000, None, "the body is not an infer request: .*"),
        (b"\x80", None, "the body is not an infer request: .*"),
    ],
)
def test_wrong_requests_are_refused(body: bytes, header_length: int | None, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        codec.request_from_wire(body, header_length, "m")


def model_of(*inputs: TensorSpec, max_batch_size: int = 0) -> ModelSpec:
    return ModelSpec("m", "1", inputs, (), max_batch_size)


@pytest.mark.parametrize(
    ("dtype", "shape", "rows", "body", "expected"),
    [
        (DType.FP32, (-1, -1), 8, np.arange(6, dtype=np.float32).tobytes(), [[0, 1, 2, 3, 4, 5]]),
        (DType.INT8, (2, -1), 0, bytes(range(6)), [[0, 1, 2], [3, 4, 5]]),
        (DType.INT16, (2, 1), 0, b"\1\0\2\0", [[1], [2]]),
        (DType.BF16, (-1, 2), 8, b"\x80\x3f\0\x40", [[1, 2]]),
        (DType.INT8, (-1,), 0, b"", []),
        (DType.BYTES, (-1, 1), 8, b"427", [[b"427"]]),
    ],
)
def test_a_body_without_json(dtype: DType, shape: tuple[int, ...], rows: int, body: bytes, expected: list) -> None:
    spec = model_of(TensorSpec("x", dtype, shape), max_batch_size=rows)
    request, form = codec.raw_request_from_wire(body, spec, "1")
    assert (request.model, request.version, form.is_binary("y")) == ("m", "1", True)
    assert (request.inputs["x"].tolist(), request.dtype("x")) == (expected, dtype)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (model_of(), r"Raw request must only have 1 input \(found 1\) to be deduced but got 0 inputs in 'm' model"),
        (model_of(*[TensorSpec(name, DType.INT8, (2,)) for name in "xy"]), "but got 2 inputs in 'm' model"),
        (
            model_of(TensorSpec("x", DType.INT8, (-1, -1))),
            "shape of the raw input 'x' can not be deduced because .* more",
        ),
        (model_of(TensorSpec("x", DType.BYTES, (-1, -1)), max_batch_size=2), r"raw input 'x', .* must have .* \[1\]"),
        (model_of(TensorSpec("x", DType.BYTES, (2,))), "For BYTE datatype raw input 'x'"),
        (
            model_of(TensorSpec("x", DType.INT16, (3,))),
            r"input byte size mismatch for input 'x' for model 'm'. Expected 6, got 5: INT16 \[3\]",
        ),
        (model_of(TensorSpec("x", DType.INT16, (-1,))), r"Expected 4, got 5: INT16 \[2\]"),
        (
            model_of(TensorSpec("x", DType.INT16, (0, -1))),
            r"raw input 'x' can not be deduced because a dimension of size 0 leaves no bytes: .*'m' has \[0, -1\]",
        ),
    ],
)
def test_a_body_without_json_that_does_not_say_its_shape(spec: ModelSpec, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        codec.raw_request_from_wire(bytes(5), spec)


def test_what_is_not_offered_says_so() -> None:
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    with pytest.raises(Unsupported, match="input 'x' for model 'm': shared memory is not offered"):
        codec.request_from_wire(document(parameters=place), None, "m")


def test_tensors_in_shared_memory() -> None:
    content = bytearray(range(64))

    class Memory:
        def view(self, span: Span) -> memoryview:
            return memoryview(content)[span.offset : span.offset + span.byte_size]

    place = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 3}
    body = json.loads(document(parameters=place))
    body["outputs"] = [{"name": "y", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 20}}]
    request, form = codec.request_from_wire(json.dumps(body).encode(), None, "m", regions=Memory())
    assert request.inputs["x"].tobytes() == bytes(range(3, 11))  # copied, because not aligned there
    y = np.arange(4, dtype=np.float32)
    sent, length = codec.response_to_wire(InferResponse("m", "1", {"y": y}), form)
    assert (length, bytes(content[:16])) == (None, y.tobytes())
    assert json.loads(sent[0])["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [4]}]
    with pytest.raises(
        InvalidRequest, match=r"'y' \(20 bytes\) should be at least 24 bytes to hold the results: region 'r'"
    ):
        codec.response_to_wire(InferResponse("m", "1", {"y": np.zeros(6, np.float32)}), form)
    with pytest.raises(InvalidRequest, match=f"{ONE_PLACE}. But set 'data' 'shared_memory_region'$"):
        codec.request_from_wire(document(parameters=place, data=[1, 2]), None, "m", regions=Memory())


def test_outputs_as_classes() -> None:
    request = InferRequest("m", {}, outputs=("y", "z"), classes={"z": 3})
    back, _ = codec.request_from_wire(*codec.request_to_wire(request), "m")
    assert (back.outputs, back.classes) == (("y", "z"), {"z": 3})


def test_many_elements_are_one_array_of_json() -> None:
    outputs = {
        "numbers": np.arange(100_001, dtype=np.float32).reshape(1, -1),
        "some not finite": np.where(np.arange(30_000) == 20_000, np.nan, 0.5),
        "texts": np.array([b'",[]', b""] * 10_000, object),
        "none": np.zeros((0, 3), np.int64),
    }
    parts, length = codec.response_to_wire(InferResponse("m", "1", outputs), Form())
    assert length is None
    given = json.loads(b"".join(parts))["outputs"]
    assert [output["data"][:1] for output in given] == [[0], [0.5], ['",[]'], []]
    assert np.isnan(given[1]["data"][20_000])
    back = codec.response_from_wire(b"".join(parts), None).outputs
    for name, array in outputs.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16])
def test_half_precision_travels_as_binary_alone(dtype: DType) -> None:
    text = f"{dtype.name} data via JSON is not supported. Please use the binary data format for"
    with pytest.raises(InvalidRequest, match=f"^input 'x' for model 'm': receiving {text} input$"):
        codec.request_from_wire(document(datatype=dtype.name, data=[1, 2]), None, "m")
    response = InferResponse("m", "1", {"y": np.zeros(2, dtype.numpy)}, dtypes={"y": dtype})
    with pytest.raises(InvalidRequest, match=f"^output 'y': sending {text} output$"):
        codec.response_to_wire(response, Form())


def test_the_other_end_is_blamed_for_its_own_faults() -> None:
    with pytest.raises(ModelFailed, match="output 'y' that cannot be sent: numpy dtype complex64"):
        codec.response_to_wire(InferResponse("m", "1", {"y": np.zeros(2, np.complex64)}), Form())
    for body in (b"<html>", b"[]"):
        with pytest.raises(ModelFailed, match=r"^the server"):
            codec.response_from_wire(body, None)


def test_reads_what_tritonclient_sends_and_tritonclient_what_we_send() -> None:
    httpclient = pytest.importorskip("tritonclient.http")
    binary = httpclient.InferInput("x", [1, 2], "BYTES")
    binary.set_data_from_numpy(np.array([[b"a", b"\xff\0"]], object))
    plain = httpclient.InferInput("p", [2], "FP32")
    plain.set_data_from_numpy(np.array([1, 2], np.float32), binary_data=False)
    outputs = [httpclient.InferRequestedOutput("y", binary_data=False)]
    body, header_length = httpclient.InferenceServerClient.generate_request_body([binary, plain], outputs=outputs)
    request, form = codec.request_from_wire(body, header_length, "m")
    assert request.inputs["x"].tolist() == [[b"a", b"\xff\0"]]
    assert request.inputs["p"].tolist() == [1, 2]
    assert not form.is_binary("y")

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for binary_out in (True, False):
        sent, length = codec.response_to_wire(InferResponse("m", "1", {"y": array}), Form(binary_out))
        result = httpclient.InferenceServerClient.parse_response_body(b"".join(sent), header_length=length)
        np.testing.assert_array_equal(result.as_numpy("y"), array)


def test_null_says_nothing() -> None:
    body = (
        b'{"model_name": "a", "model_version": null, "id": null, "parameters": null, '
        b'"outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "data": [3], "parameters": null}]}'
    )
    response = codec.response_from_wire(body, None)
    assert (response.version, response.id, response.parameters, response.outputs["y"].tolist()) == ("", "", {}, [3])
    body = (
        b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [3], "parameters": null}], '
        b'"outputs": [{"name": "y", "parameters": null}]}'
    )
    request, form = codec.request_from_wire(body, None, "a")
    assert (request.inputs["x"].tolist(), request.outputs, form.is_binary("y")) == ([3], ("y",), False)
