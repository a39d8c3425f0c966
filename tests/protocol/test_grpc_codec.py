from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, ModelFailed, RegionNotFound, Unsupported
from sonic.protocol import grpc_codec as codec
from sonic.protocol.messages import InferRequest, InferResponse
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.specs import DType
from sonic.testing import strategies

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.protocol.form import Span


@given(strategies.infer_requests())
def test_every_request_comes_back(check_arrays: Callable[..., None], request: InferRequest) -> None:
    back = codec.request_from_wire(codec.request_to_wire(request))[0]
    for field in ("model", "version", "id", "outputs", "parameters", "timeout_s", "dtypes"):
        assert getattr(back, field) == getattr(request, field), field
    check_arrays(back.inputs, request.inputs, request.dtypes)


@given(strategies.infer_responses())
def test_every_response_comes_back(check_arrays: Callable[..., None], response: InferResponse) -> None:
    for back in (
        codec.response_from_wire(codec.response_to_wire(response)),
        codec.stream_from_wire(codec.stream_to_wire(response)),
    ):
        for field in ("model", "version", "id", "dtypes"):
            assert getattr(back, field) == getattr(response, field), field
        assert {k: v for k, v in back.parameters.items() if k != codec.FINAL} == response.parameters
        check_arrays(back.outputs, response.outputs, response.dtypes)


@given(strategies.infer_requests())
def test_protobuf_reads_what_we_write_and_we_what_it_writes(
    check_arrays: Callable[..., None], request: InferRequest
) -> None:
    message = pb.ModelInferRequest.FromString(codec.request_to_wire(request))
    assert len(message.raw_input_contents) == len(message.inputs)
    back = codec.request_from_wire(message.SerializeToString())[0]
    check_arrays(back.inputs, request.inputs, request.dtypes)


@given(strategies.infer_requests(), st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_request_ends_in_a_request_or_in_one_error(request: InferRequest, at: int, octet: int) -> None:
    data = bytearray(codec.request_to_wire(request))
    if at < len(data):
        data[at] = octet
    for damaged in (bytes(data), bytes(data[:at])):
        with suppress(InvalidRequest, Unsupported):
            assert isinstance(codec.request_from_wire(damaged)[0], InferRequest)


def test_typed_contents_of_every_datatype() -> None:
    contents = {
        "BOOL": ("bool_contents", [True, False]),
        "INT8": ("int_contents", [-128, 127]),
        "INT16": ("int_contents", [-(2**15), 2**15 - 1]),
        "INT32": ("int_contents", [-(2**31), 2**31 - 1]),
        "INT64": ("int64_contents", [-(2**63), 2**63 - 1]),
        "UINT8": ("uint_contents", [0, 255]),
        "UINT16": ("uint_contents", [0, 2**16 - 1]),
        "UINT32": ("uint_contents", [0, 2**32 - 1]),
        "UINT64": ("uint64_contents", [0, 2**64 - 1]),
        "FP32": ("fp32_contents", [0.5, float("inf")]),
        "FP64": ("fp64_contents", [0.1, 1e300]),
        "BYTES": ("bytes_contents", [b"a\0", b"\xff"]),
    }
    message = pb.ModelInferRequest(model_name="m")
    for name, (field, values) in contents.items():
        tensor = message.inputs.add(name=name, datatype=name, shape=[1, 2])
        getattr(tensor.contents, field).extend(values)
    request = codec.request_from_wire(message.SerializeToString())[0]
    for name, (_, values) in contents.items():
        assert request.inputs[name].tolist() == [values]
        assert request.dtype(name).name == name


def request_with(**tensor: object) -> bytes:
    raw = tensor.pop("raw", None)
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(**{"name": "x", "datatype": "FP32", "shape": [2], **tensor})
    if raw is not None:
        message.raw_input_contents.extend(raw)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            request_with(raw=[bytes(7)]),
            r"input byte size mismatch for input 'x' for model 'm'. Expected 8, got 7: FP32 \[2\]",
        ),
        (
            request_with(datatype="BYTES", raw=[b"\1\0\0\0a"]),
            r"expected 2 string elements for inference input 'x' for model 'm', got 1: BYTES \[2\]",
        ),
        (
            request_with(datatype="BYTES", raw=[bytes(12)]),
            r"unexpected number of string elements 3 for inference input 'x' for model 'm', expecting 2: BYTES \[2\]",
        ),
        (
            request_with(datatype="BYTES", raw=[b"\1\0\0\0a\5\0\0\0a"]),
            r"incomplete string data for inference input 'x' for model 'm', expecting string of length 5 but only 1 "
            r"bytes available: BYTES \[2\]",
        ),
        (
            request_with(datatype="BYTES", raw=[b"\1\0\0\0a\5\0"]),
            r"incomplete string length indicator for inference input 'x' for model 'm', expecting 4 bytes but only "
            r"2 bytes available: BYTES \[2\]",
        ),
        (request_with(raw=[bytes(8), b""]), "1 inputs for model 'm' need as many raw contents, given 2"),
        (
            request_with(name="w") + request_with(raw=[bytes(8)]),
            "unable to find data for input tensor 'x' for model 'm' in request: 2 inputs .*, given 1",
        ),
        (
            request_with(contents={"fp32_contents": [1, 2]}) + request_with(name="y", raw=[bytes(8)]),
            "contents field must not be specified when using raw_input_contents for 'x' for model 'm': 2 inputs .*",
        ),
        (request_with(datatype="FP8", raw=[bytes(8)]), "input 'x' for model 'm': unknown datatype 'FP8': one of .*"),
        (request_with(shape=[-1], raw=[b""]), r"input 'x' for model 'm': shape \[-1\] has a negative dimension"),
        (
            request_with(),
            r"unable to find data for input tensor 'x' for model 'm' in request: FP32 \[2\]",
        ),
        (request_with(datatype="FP16"), r"unable to find data for input tensor 'x' for model 'm' in request: FP16 .*"),
        (
            request_with(datatype="FP16", contents={"fp32_contents": [1, 2]}),
            r"unexpected explicit tensor data for input tensor 'x' for model 'm' of type 'FP32', expected datatype "
            r"'FP16': FP16 \[2\]",
        ),
        (
            request_with(contents={"int_contents": [1, 2]}),
            r"unexpected explicit tensor data for input tensor 'x' for model 'm' of type 'INT32', expected datatype "
            r"'FP32': FP32 \[2\]",
        ),
        (
            request_with(contents={"fp32_contents": [1, 2, 3]}),
            r"input byte size mismatch for input 'x' for model 'm'. Expected 8, got 12: FP32 \[2\]",
        ),
        (
            request_with(datatype="BYTES", contents={"bytes_contents": [b"a"]}),
            r"expected 2 string elements for inference input 'x' for model 'm', got 1: BYTES \[2\]",
        ),
        (
            request_with(datatype="BYTES", contents={"bytes_contents": [b"a"] * 3}),
            r"unexpected number of string elements 3 for inference input 'x' for model 'm', expecting 2: BYTES \[2\]",
        ),
        (
            request_with(contents={"fp32_contents": [1, 2]}, raw=[bytes(8)]),
            r"contents field must not be specified when using raw_input_contents for 'x' for model 'm': FP32 \[2\]",
        ),
        (
            request_with(datatype="INT8", contents={"int_contents": [1, 200]}),
            "input 'x' for model 'm': 200 is out of the range of INT8",
        ),
        (request_with(raw=[bytes(8)]) * 2, "input 'x' for model 'm': it already exists in the request"),
        (b"\x0a\x05abc", "the message ends within the field that begins at byte 0"),
        (b"\x0a\x01\xff", "not a ModelInferRequest: .*"),
        (
            pb.ModelInferRequest(parameters={"timeout": pb.InferParameter(int64_param=-4)}).SerializeToString(),
            "parameter timeout is a whole number of microseconds, given -4",
        ),
        (
            pb.ModelInferRequest(parameters={"mine": pb.InferParameter()}).SerializeToString(),
            "parameter 'mine' has no value",
        ),
        (
            pb.ModelInferRequest(parameters={"sequence_id": pb.InferParameter(bool_param=True)}).SerializeToString(),
            "parameter sequence_id is a whole number of 64 bits or a text, given True",
        ),
    ],
)
def test_wrong_requests_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        codec.request_from_wire(data)


def test_what_is_not_offered_says_so() -> None:
    with pytest.raises(Unsupported, match="input 'x' for model 'm': shared memory is not offered"):
        codec.request_from_wire(request_with(parameters=shared(8)))
    message = pb.ModelInferRequest(model_name="m")
    message.outputs.add(name="y", parameters=shared(8))
    with pytest.raises(Unsupported, match="output 'y': shared memory is not offered"):
        codec.request_from_wire(message.SerializeToString())


class Memory:
    """One region of 64 bytes."""

    def __init__(self) -> None:
        self.content = bytearray(range(64))

    def view(self, span: Span) -> memoryview:
        if span.region != "r":
            raise RegionNotFound(f"no region {span.region}")
        return memoryview(self.content)[span.offset : span.offset + span.byte_size]


def shared(byte_size: int, offset: int = 0, region: str = "r") -> dict[str, pb.InferParameter]:
    return {
        "shared_memory_region": pb.InferParameter(string_param=region),
        "shared_memory_byte_size": pb.InferParameter(int64_param=byte_size),
        "shared_memory_offset": pb.InferParameter(int64_param=offset),
    }


def test_tensors_in_shared_memory() -> None:
    memory = Memory()
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="a", datatype="INT32", shape=[2], parameters=shared(8, 4))
    message.inputs.add(name="b", datatype="UINT8", shape=[2])
    message.raw_input_contents.append(b"\x07\x08")
    message.outputs.add(name="y", parameters=shared(16, 32))
    request, form = codec.request_from_wire(message.SerializeToString(), memory)
    assert request.inputs["a"].tobytes() == bytes(range(4, 12))
    assert np.shares_memory(request.inputs["a"], np.frombuffer(memory.content, np.uint8))
    assert not request.inputs["a"].flags.writeable
    assert request.inputs["b"].tolist() == [7, 8]

    y = np.arange(3, dtype=np.float32)
    response = InferResponse("m", "1", {"y": y, "z": y})
    sent = pb.ModelInferResponse.FromString(codec.response_to_wire(response, form))
    assert [len(raw) for raw in sent.raw_output_contents] == [0, 12]
    assert sent.outputs[0].parameters["shared_memory_byte_size"].int64_param == 12
    assert bytes(memory.content[32:44]) == y.tobytes()
    assert bytes(memory.content[44:]) == bytes(range(44, 64))
    back = codec.response_from_wire(sent.SerializeToString(), memory)
    assert [array.tolist() for array in back.outputs.values()] == [[0, 1, 2]] * 2

    with pytest.raises(
        InvalidRequest, match=r"'y' \(16 bytes\) should be at least 20 bytes to hold the results: region 'r'"
    ):
        codec.response_to_wire(InferResponse("m", "1", {"y": np.zeros(5, np.float32)}), form)


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        (
            {"parameters": shared(7)},
            InvalidRequest,
            r"input byte size mismatch for input 'x' for model 'm'. Expected 8, got 7: FP32 \[2\]",
        ),
        (
            {"parameters": shared(8, -1)},
            InvalidRequest,
            "input 'x' for model 'm': .*_offset is a number of bytes, given -1",
        ),
        (
            {"parameters": shared(-8)},
            InvalidRequest,
            "input 'x' for model 'm': .*_byte_size is a number of bytes, given -8",
        ),
        ({"parameters": shared(8, region="q")}, RegionNotFound, "input 'x' for model 'm': no region q"),
        (
            {"parameters": shared(8), "raw": [bytes(8)]},
            InvalidRequest,
            "input 'x' for model 'm': has both raw contents and shared.*",
        ),
        (
            {"parameters": shared(8), "raw": [b"", b""]},
            InvalidRequest,
            "0 inputs for model 'm' need as many raw contents, given 2",
        ),
        (
            {"parameters": shared(8), "contents": {"fp32_contents": [1, 2]}},
            InvalidRequest,
            r"unexpected 'content' provided when using shared memory for input tensor 'x' for model 'm': FP32 \[2\]",
        ),
        (
            {"parameters": {k: v for k, v in shared(8).items() if k != "shared_memory_byte_size"}},
            InvalidRequest,
            "input 'x' for model 'm': parameter shared_memory_region is given without shared_memory_byte_size",
        ),
        (
            {"parameters": {"shared_memory_offset": pb.InferParameter(int64_param=3)}},
            InvalidRequest,
            "input 'x' for model 'm': parameter shared_memory_offset is given without shared_memory_region",
        ),
        (
            {"parameters": {**shared(8), "shared_memory_region": pb.InferParameter(int64_param=3)}},
            InvalidRequest,
            "input 'x' for model 'm': parameter shared_memory_region is the name of a region, given 3",
        ),
    ],
)
def test_wrong_shared_memory_is_refused(fields: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=f"^{text}$"):
        codec.request_from_wire(request_with(**fields), Memory())


def test_outputs_as_classes() -> None:
    request = InferRequest("m", {}, outputs=("y", "z"), classes={"z": 3})
    assert codec.request_from_wire(codec.request_to_wire(request))[0].classes == {"z": 3}
    message = pb.ModelInferRequest(model_name="m")
    parameters = message.outputs.add(name="y", parameters=shared(8)).parameters
    parameters["classification"].int64_param = 3
    with pytest.raises(
        InvalidRequest, match="output 'y': output can't set both 'shared_memory_region' and 'classification'"
    ):
        codec.request_from_wire(message.SerializeToString(), Memory())
    parameters["classification"].int64_param = -3
    with pytest.raises(InvalidRequest, match="output 'y': parameter classification is a number of classes, given -3"):
        codec.request_from_wire(message.SerializeToString(), Memory())


def test_a_request_that_cannot_be_said_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="complex64 has no counterpart"):
        codec.request_to_wire(InferRequest("m", {"x": np.zeros(2, np.complex64)}))
    for value in (2**64, None, b"x"):
        with pytest.raises(InvalidRequest, match="parameter p is"):
            codec.request_to_wire(InferRequest("m", {}, parameters={"p": value}))  # type: ignore[dict-item]
    big = codec.request_from_wire(codec.request_to_wire(InferRequest("m", {}, parameters={"p": 2**64 - 1})))[0]
    assert big.parameters == {"p": 2**64 - 1}


def test_the_other_end_is_blamed_for_its_own_faults() -> None:
    response = InferResponse("m", "1", {"y": np.zeros(2, np.complex64)})
    with pytest.raises(ModelFailed, match="model 'm' gave a response that cannot be sent: numpy dtype complex64"):
        codec.response_to_wire(response)
    with pytest.raises(ModelFailed, match="the server sent a response that cannot be read"):
        codec.response_from_wire(b"\x0a\x05abc")
    with pytest.raises(ModelFailed, match="it broke"):
        codec.stream_from_wire(codec.stream_to_wire(ModelFailed("it broke")))
    failure = pb.ModelStreamInferResponse.FromString(codec.stream_to_wire(ModelFailed("it broke"), id="7", model="m"))
    assert (failure.infer_response.id, failure.infer_response.model_name) == ("7", "m")
    assert failure.infer_response.parameters["triton_final_response"].bool_param
    with pytest.raises(ModelFailed, match="neither a response nor an error"):
        codec.stream_from_wire(b"")


def test_arrays_are_views_of_an_aligned_message() -> None:
    data = codec.request_to_wire(InferRequest("m", {"x": np.arange(100, dtype=np.uint8)}))
    array = codec.request_from_wire(data)[0].inputs["x"]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))


def test_reads_what_tritonclient_sends() -> None:
    grpcclient = pytest.importorskip("tritonclient.grpc")
    from tritonclient.grpc._utils import _get_inference_request

    given_input = grpcclient.InferInput("x", [1, 2], "BYTES")
    given_input.set_data_from_numpy(np.array([[b"a", b"\xff\0"]], object))
    half = grpcclient.InferInput("h", [2], "FP16")
    half.set_data_from_numpy(np.array([1, 2], np.float16))
    message = _get_inference_request(
        model_name="m",
        inputs=[given_input, half],
        model_version="2",
        request_id="7",
        outputs=[grpcclient.InferRequestedOutput("y")],
        sequence_id=0,
        sequence_start=False,
        sequence_end=False,
        priority=2,
        timeout=1500,
        parameters={"custom": "z"},
    )
    request = codec.request_from_wire(message.SerializeToString())[0]
    assert (request.model, request.version, request.id, request.outputs) == ("m", "2", "7", ("y",))
    assert request.timeout_s == 0.0015
    assert request.parameters == {"priority": 2, "custom": "z"}
    assert request.inputs["x"].tolist() == [[b"a", b"\xff\0"]]
    assert request.inputs["h"].tolist() == [1, 2]
    assert request.dtype("h") is DType.FP16


def test_empty_contents_beside_raw_ones_say_nothing() -> None:
    message = pb.ModelInferResponse(model_name="a", raw_output_contents=[b"\3"])
    message.outputs.add(name="y", datatype="INT8", shape=[1]).contents.SetInParent()
    response = codec.response_from_wire(message.SerializeToString())
    assert response.outputs["y"].tolist() == [3]


def test_a_sequence_is_of_64_bits_without_a_sign() -> None:
    message = pb.ModelInferRequest(parameters={"sequence_id": pb.InferParameter(int64_param=-1)})
    assert codec.request_from_wire(message.SerializeToString())[0].parameters == {"sequence_id": 2**64 - 1}
