"""What only gRPC has: streams, generated stubs, typed contents, options of a channel."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator


def pair(first: int) -> list[Any]:
    inputs = [triton.InferInput(f"INPUT{i}", [1, 16], "INT32") for i in (0, 1)]
    for tensor, value in zip(inputs, (first, 1), strict=True):
        tensor.set_data_from_numpy(np.full((1, 16), value, np.int32))
    return inputs


@pytest.fixture
def stub(server: Any) -> Iterator[Any]:
    with grpc.insecure_channel(server("open")[0].grpc_url.partition("//")[2]) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_a_stream(grpc_way: Any) -> None:
    client = grpc_way.connect()
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(callback=lambda result, error: ended.put((result, error)))
    try:
        for number in range(10):
            client.async_stream_infer(
                "simple" if number != 4 else "wrong_model_name",
                pair(number),
                request_id=str(number),
                sequence_id=5,
                sequence_start=number == 0,
                sequence_end=number == 9,
            )
        answers = [ended.get(timeout=20) for _ in range(10)]
    finally:
        client.stop_stream()
        client.close()
    for number, (result, error) in enumerate(answers):
        if number == 4:
            assert "Request for unknown model" in str(error)
        else:
            assert result.get_response().id == str(number)
            assert result.as_numpy("OUTPUT0")[0, 0] == number + 1


def test_options_of_the_channel(grpc_way: Any) -> None:
    for options in (
        {"keepalive_options": triton.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_permit_without_calls=True)},
        {"channel_args": [("grpc.max_receive_message_length", 1 << 20), ("grpc.primary_user_agent", "example")]},
    ):
        client = grpc_way.connect(**options)
        assert client.infer("simple", pair(6)).as_numpy("OUTPUT0")[0, 0] == 7
        client.close()


def test_a_request_given_up(grpc_way: Any) -> None:
    client = grpc_way.connect()
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.async_infer("simple", pair(1), lambda result, error: ended.put((result, error))).cancel()
    result, error = ended.get(timeout=20)
    assert (result is None) is (error is not None)  # it may have been too late
    assert client.infer("simple", pair(6)).as_numpy("OUTPUT0")[0, 0] == 7
    client.close()


def test_stubs_and_raw_contents(stub: Any) -> None:
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    assert stub.ModelReady(service_pb2.ModelReadyRequest(name="simple", version="")).ready
    assert stub.ServerMetadata(service_pb2.ServerMetadataRequest()).version
    assert stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="simple")).name == "simple"
    assert stub.ModelConfig(service_pb2.ModelConfigRequest(name="simple")).config.input[0].dims == [16]
    request = service_pb2.ModelInferRequest(model_name="simple", id="my request id")
    for i in (0, 1):
        request.inputs.add(name=f"INPUT{i}", datatype="INT32", shape=[1, 16])
        request.raw_input_contents.append(np.full(16, i + 2, np.int32).tobytes())
    request.outputs.add(name="OUTPUT0")
    response = stub.ModelInfer(request, timeout=20)
    assert (response.id, [output.name for output in response.outputs]) == ("my request id", ["OUTPUT0"])
    assert np.frombuffer(response.raw_output_contents[0], np.int32).tolist() == [5] * 16


@pytest.mark.parametrize(("model", "kind"), [("simple", "INT32"), ("simple_string", "BYTES")])
def test_typed_contents(model: str, kind: str, stub: Any) -> None:
    request = service_pb2.ModelInferRequest(model_name=model)
    for i in (0, 1):
        tensor = request.inputs.add(name=f"INPUT{i}", datatype=kind, shape=[1, 16])
        if kind == "INT32":
            tensor.contents.int_contents.extend([10 + i] * 16)
        else:
            tensor.contents.bytes_contents.extend([str(10 + i).encode()] * 16)
    result = triton.InferResult(stub.ModelInfer(request, timeout=20))
    assert [int(value) for value in result.as_numpy("OUTPUT0")[0]] == [21] * 16
    assert [int(value) for value in result.as_numpy("OUTPUT1")[0]] == [-1] * 16
