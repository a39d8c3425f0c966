"""The gRPC front, with the unmodified tritonclient."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from sonic.protocol.proto import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TYPES = {
    "BOOL": np.array([True, False]),
    "UINT8": np.arange(3, dtype=np.uint8),
    "INT16": np.arange(3, dtype=np.int16),
    "INT64": np.arange(3, dtype=np.int64),
    "FP16": np.arange(3, dtype=np.float16),
    "FP32": np.array([np.nan, np.inf], np.float32),
    "FP64": np.arange(3, dtype=np.float64),
    "STRING": np.array([b"a", b"", b"\xff\x00"], np.object_),
}


@pytest.fixture
def connect() -> Iterator[Callable[[Any], triton.InferenceServerClient]]:
    made: list[triton.InferenceServerClient] = []

    def make(server: Any) -> triton.InferenceServerClient:
        made.append(triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://")))
        return made[-1]

    yield make
    for client in made:
        client.close()


def tensors(module: Any = triton, **arrays: np.ndarray) -> list[Any]:
    inputs = []
    for name, array in arrays.items():
        inputs.append(module.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    return inputs


def test_infer(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    x = np.random.default_rng(0).random((5, 4), np.float32)
    result = connect(server).infer("a", tensors(x=x), request_id="7", outputs=[triton.InferRequestedOutput("y")])
    assert result.as_numpy("y").shape == (5, 2)
    assert (result.get_response().id, result.get_response().model_version) == ("7", "1")


@pytest.mark.parametrize("kind", TYPES)
def test_every_datatype_comes_back_bit_for_bit(kind: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.identity("i", kind)
    result = connect(serve(folder)).infer("i", tensors(in0=TYPES[kind])).as_numpy("out0")
    assert result.dtype == TYPES[kind].dtype
    assert result.tolist() == TYPES[kind].tolist() or result.tobytes() == TYPES[kind].tobytes()


def test_a_message_of_many_megabytes(folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    x = np.arange(5_000_000, dtype=np.float32)
    server = serve(folder)
    client = triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
    np.testing.assert_array_equal(client.infer("i", tensors(in0=x)).as_numpy("out0"), x)
    client.close()


def test_what_the_server_says(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    folder.onnx("b")
    client = connect(serve(folder))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("a")
    assert not client.is_model_ready("z")
    assert client.get_server_metadata(as_json=True)["name"] == "sonic"
    metadata = client.get_model_metadata("a", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    assert (metadata["platform"], metadata["versions"]) == ("onnxruntime_onnx", ["1"])
    config = client.get_model_config("a").config
    assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (1024, [1024])
    assert [(row.name, row.state) for row in client.get_model_repository_index().models] == [
        ("a", "READY"),
        ("b", "READY"),
    ]
    client.infer("a", tensors(x=np.zeros((3, 4), np.float32)))
    (row,) = client.get_inference_statistics("a").model_stats
    assert (row.inference_count, row.execution_count, row.inference_stats.success.count) == (3, 1, 1)
    assert row.inference_stats.compute_infer.ns > 0
    assert len(client.get_inference_statistics().model_stats) == 2


def test_errors_have_their_code_and_their_words(folder: Any, serve: Any, connect: Any, script: Any) -> None:
    folder.onnx("a")
    folder.scripted()
    script.run = lambda x: 1 / 0
    client = connect(serve(folder))
    good = np.zeros((3, 4), np.float32)
    for model, inputs, code, text in (
        ("z", {"x": good}, "NOT_FOUND", "Request for unknown model: 'z' is not found: there is a, scripted"),
        ("a", {"q": good}, "INVALID_ARGUMENT", "unexpected inference input 'q' for model 'a': it has x"),
        (
            "a",
            {"x": good[:, :2]},
            "INVALID_ARGUMENT",
            "unexpected shape for input 'x' for model 'a'. Expected [-1,4], got [3,2]",
        ),
        ("scripted", {"x": good[:, :2]}, "INTERNAL", "model 'scripted' failed: ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, tensors(**inputs))
        assert caught.value.status() == f"StatusCode.{code}"
        assert caught.value.message() == text
    with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
        client.load_model("a")


def test_bytes_that_are_no_request(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    with grpc.insecure_channel(serve(folder).grpc_url.removeprefix("grpc://")) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for junk in (b"\x3a", b"\xff" * 30, b"\x2a\x05\x0a\x01x"):
            with pytest.raises(grpc.RpcError) as caught:
                call(junk, timeout=10)
            assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/inference.GRPCInferenceService/Nope")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_load_and_unload(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder, explicit=True))
    assert not client.is_model_ready("a")
    client.load_model("a")
    assert client.is_model_ready("a")
    client.load_model("a", config='{"max_batch_size": 3}')
    assert client.get_model_config("a").config.max_batch_size == 3
    with pytest.raises(InferenceServerException, match="files come from its folder"):
        client.load_model("a", config="{}", files={"file:1/model.onnx": b"x"})
    client.unload_model("a", unload_dependents=True)
    assert not client.is_model_ready("a")
    with pytest.raises(grpc.RpcError, match="'repository_name' specification is not supported"):
        client._client_stub.RepositoryIndex(triton.service_pb2.RepositoryIndexRequest(repository_name="r"))


def test_statistics_of_batches(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    for rows in (3, 1, 3):
        client.infer("a", tensors(x=np.ones((rows, 4), np.float32)))
    (row,) = client.get_inference_statistics("a", as_json=True)["model_stats"]
    assert [(b["batch_size"], b["compute_infer"]["count"]) for b in row["batch_stats"]] == [("1", "1"), ("3", "2")]
    assert (row["inference_count"], row["execution_count"]) == ("7", "3")
    assert row["inference_stats"]["cache_hit"] == {}


def test_the_deadline_of_the_call_and_of_the_request(
    folder: Any, serve: Any, connect: Any, script: Any, until: Any
) -> None:
    folder.scripted()
    server = serve(folder)
    client = connect(server)
    x = tensors(x=np.ones((1, 2), np.float32))
    script.hold()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.async_infer("scripted", x, callback=lambda result, error: results.put(error))
    script.wait_started()
    with pytest.raises(InferenceServerException, match=r"deadline of 0\.02 s|Deadline Exceeded"):
        client.infer("scripted", x, timeout=20_000)
    with pytest.raises(InferenceServerException, match=r"deadline of 0\.02 s"):  # the earlier of the two
        client.infer("scripted", x, timeout=20_000, client_timeout=5)
    with pytest.raises(InferenceServerException) as caught:
        client.infer("scripted", x, client_timeout=0.2)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    (model,) = server.dataplane.models()
    until(lambda: sum(model.failures().values()) == 3)  # the client may have known before the server
    script.release()
    assert results.get(timeout=10) is None
    assert server.dataplane.drain(10)
    assert script.batches == [1]


def test_a_client_that_goes_away_takes_its_request_along(
    folder: Any, serve: Any, connect: Any, script: Any, until: Any
) -> None:
    folder.scripted()
    server = serve(folder)
    client = connect(server)
    x = tensors(x=np.ones((1, 2), np.float32))
    script.hold()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.async_infer("scripted", x, callback=lambda result, error: results.put(error))
    script.wait_started()
    gone = client.async_infer("scripted", x, callback=lambda result, error: None)
    (model,) = server.dataplane.models()
    until(lambda: model.pending)
    gone.cancel()
    until(lambda: not model.pending)
    script.release()
    assert results.get(timeout=10) is None
    assert server.dataplane.drain(10)
    assert script.batches == [1]


def test_streaming(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(callback=lambda result, error: results.put((result, error)))
    for rows in (1, 2, 3):
        client.async_stream_infer("a", tensors(x=np.zeros((rows, 4), np.float32)), request_id=str(rows))
    client.async_stream_infer("z", tensors(x=np.zeros((1, 4), np.float32)))
    answers = [results.get(timeout=10) for _ in range(4)]
    client.stop_stream()
    assert [len(result.as_numpy("y")) for result, _ in answers[:3]] == [1, 2, 3]
    assert [result.get_response().id for result, _ in answers[:3]] == ["1", "2", "3"]
    assert "Request for unknown model: 'z' is not found" in str(answers[3][1])


def test_the_first_error_ends_a_stream_if_its_client_says_so(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(lambda result, error: results.put((result, error)), headers={"triton_grpc_error": "true"})
    client.async_stream_infer("a", tensors(x=np.zeros((1, 4), np.float32)))
    assert results.get(timeout=10)[1] is None
    client.async_stream_infer("z", tensors(x=np.zeros((1, 4), np.float32)))
    error = results.get(timeout=10)[1]
    assert (error.status(), "'z' is not found" in error.message()) == ("StatusCode.NOT_FOUND", True)


def test_from_asyncio(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    url = serve(folder).grpc_url.removeprefix("grpc://")

    async def ask() -> list[tuple[int, ...]]:
        async with triton_aio.InferenceServerClient(url) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("a")).name == "a"
            calls = [client.infer("a", tensors(x=np.zeros((rows, 4), np.float32))) for rows in (1, 2, 3)]
            return [result.as_numpy("y").shape for result in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [(1, 2), (2, 2), (3, 2)]


def test_health(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest
        assert health.Check(request()).status == health_pb2.HealthCheckResponse.SERVING
        assert (
            health.Check(request(service="inference.GRPCInferenceService")).status
            == health_pb2.HealthCheckResponse.SERVING
        )
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(request(service="nope"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        server.dataplane.drain(0)
        assert health.Check(request()).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_who_watches_the_health_is_told_of_the_end(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        health, state = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckResponse
        known, unknown = (health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "nope"))
        assert (next(known).status, next(unknown).status) == (state.SERVING, state.SERVICE_UNKNOWN)
        assert server.close()
        assert ([each.status for each in known], [*unknown]) == ([state.NOT_SERVING], [])


def test_probes_are_answered_while_requests_wait(folder: Any, serve: Any, connect: Any, script: Any) -> None:
    folder.scripted()
    client = connect(serve(folder))
    x = tensors(x=np.ones((1, 2), np.float32))
    script.hold()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(4):
        client.async_infer("scripted", x, callback=lambda result, error: results.put(error))
    script.wait_started()
    assert client.is_server_ready()
    assert client.is_model_ready("scripted")
    script.release()
    assert [results.get(timeout=10) for _ in range(4)] == [None] * 4


def test_a_burst_is_queued_and_not_dropped(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        assert live(b"")
        gate = threading.Event()
        server._loop.loop.call_soon_threadsafe(gate.wait, 30)  # it takes no requests meanwhile
        calls = [live.future(b"") for _ in range(4000)]
        gate.set()
        assert {call.exception() for call in calls} == {None}
