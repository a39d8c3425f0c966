"""Shared memory, classes, settings, reflection and health over both fronts, with the unmodified tritonclient."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

import sonic
from sonic.errors import ModelNotFound
from sonic.protocol.proto import grpc_service_pb2 as pb
from sonic.protocol.proto import health_pb2, health_pb2_grpc, reflection_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRITON = {"grpc": triton_grpc, "http": triton_http}


@pytest.fixture(params=["grpc", "http"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connect(kind: str) -> Iterator[Callable[[Any], Any]]:
    made: list[Any] = []

    def make(server: Any) -> Any:
        url = (server.grpc_url if kind == "grpc" else server.http_url).partition("//")[2]
        made.append(TRITON[kind].InferenceServerClient(url))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def segment() -> Iterator[Callable[[str, int], Any]]:
    made: list[Any] = []

    def make(name: str, size: int) -> Any:
        made.append(shm.create_shared_memory_region(name, f"/sonic-{os.getpid()}-{name}", size))
        return made[-1]

    yield make
    for handle in made:
        shm.destroy_shared_memory_region(handle)


def key(name: str) -> str:
    return f"/sonic-{os.getpid()}-{name}"


# ---- shared memory --------------------------------------------------------------------------------------------------


def test_tensors_in_shared_memory(kind: str, folder: Any, serve: Any, connect: Any, segment: Any) -> None:
    folder.identity("i", "FP32", "STRING")
    client, triton = connect(serve(folder)), TRITON[kind]
    x = np.arange(6, dtype=np.float32)
    words = np.array([b"a", b"", b"longer"], np.object_)
    given, got = segment("in", 1024), segment("out", 1024)
    shm.set_shared_memory_region(given, [x, serialize_byte_tensor(words)])
    size = 4 * 3 + 7
    client.register_system_shared_memory("in", key("in"), 1024)
    client.register_system_shared_memory("out", key("out"), 512, offset=256)
    inputs = [triton.InferInput("in0", [6], "FP32"), triton.InferInput("in1", [3], "BYTES")]
    inputs[0].set_shared_memory("in", x.nbytes)
    inputs[1].set_shared_memory("in", size, offset=x.nbytes)
    outputs = [triton.InferRequestedOutput("out0"), triton.InferRequestedOutput("out1")]
    outputs[0].set_shared_memory("out", 64, offset=8)
    result = client.infer("i", inputs, outputs=outputs)
    assert result.as_numpy("out1").tolist() == words.tolist()
    assert shm.get_contents_as_numpy(got, np.float32, [6], offset=256 + 8).tolist() == x.tolist()
    outputs[0].set_shared_memory("out", 20)
    with pytest.raises(InferenceServerException, match=r"output 'out0' \(20 bytes\) should be at least 24 bytes"):
        client.infer("i", inputs, outputs=outputs)
    inputs[0].set_shared_memory("in", x.nbytes, offset=1020)
    with pytest.raises(
        InferenceServerException,
        match=r"Invalid offset \+ byte size for .* region: 'in' has 1024 bytes, given bytes 1020 to 1044",
    ):
        client.infer("i", inputs)
    inputs[0].set_shared_memory("absent", x.nbytes)
    with pytest.raises(
        InferenceServerException,
        match=r"input 'in0' for model '.*': Unable to find shared memory region: 'absent'",
    ):
        client.infer("i", inputs)


def test_regions_are_listed_and_forgotten(kind: str, folder: Any, serve: Any, connect: Any, segment: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    segment("in", 100)
    client.register_system_shared_memory("r", key("in"), 50, offset=3)
    client.register_system_shared_memory("q", key("in"), 100)
    status = client.get_system_shared_memory_status()
    if kind == "grpc":
        row = status.regions["r"]
        assert (sorted(status.regions), row.key, row.offset, row.byte_size) == (["q", "r"], key("in"), 3, 50)
    else:
        assert status[0] == {"name": "r", "key": key("in"), "offset": 3, "byte_size": 50}
    with pytest.raises(InferenceServerException, match="'r' already in manager"):
        client.register_system_shared_memory("r", key("in"), 50)
    for bad, text in (
        ("/sonic-absent", "Unable to open shared memory region"),
        ("/../etc/passwd", "is not the name of shared memory"),
    ):
        with pytest.raises(InferenceServerException, match=text):
            client.register_system_shared_memory("b", bad, 50)
    with pytest.raises(InferenceServerException, match="has 100 bytes, given bytes 60 to 110"):
        client.register_system_shared_memory("b", key("in"), 50, offset=60)
    client.unregister_system_shared_memory("r")
    with pytest.raises(InferenceServerException, match="Unable to find system shared memory region: 'r'") as caught:
        client.get_system_shared_memory_status("r")
    assert caught.value.status() == {"grpc": "StatusCode.NOT_FOUND", "http": "404"}[kind]
    client.unregister_system_shared_memory()
    left = client.get_system_shared_memory_status()
    assert not (left.regions if kind == "grpc" else left)
    info = client.get_server_metadata(**({"as_json": True} if kind == "grpc" else {}))
    assert "system_shared_memory" in info["extensions"]


def test_cuda_shared_memory_is_not_offered(kind: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    client.unregister_cuda_shared_memory()
    client.unregister_cuda_shared_memory("r")
    status = client.get_cuda_shared_memory_status()
    assert not (status.regions if kind == "grpc" else status)
    for call in (
        lambda: client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 64),
        lambda: client.get_cuda_shared_memory_status("r"),
    ):
        with pytest.raises(InferenceServerException, match="CUDA shared memory is not offered"):
            call()


def test_a_region_unregistered_under_a_request_stays_until_its_end(
    folder: Any, serve: Any, connect: Any, segment: Any, script: Any, kind: str
) -> None:
    folder.scripted()
    server = serve(folder)
    client, triton = connect(server), TRITON[kind]
    given = segment("in", 64)
    shm.set_shared_memory_region(given, [np.array([[3, 4]], np.float32)])
    client.register_system_shared_memory("r", key("in"), 64)
    one = triton.InferInput("x", [1, 2], "FP32")
    one.set_shared_memory("r", 8)
    wanted = triton.InferRequestedOutput("y")
    wanted.set_shared_memory("r", 8, offset=8)
    script.hold()
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    other = connect(server)
    thread = threading.Thread(target=lambda: ended.put(other.infer("scripted", [one], outputs=[wanted])))
    thread.start()
    script.wait_started()
    client.unregister_system_shared_memory("r")
    script.release()
    ended.get(timeout=10)
    thread.join()
    assert shm.get_contents_as_numpy(given, np.float32, [2], offset=8).tolist() == [6, 8]


def test_a_client_that_dies_leaves_no_harm(folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    server = serve(folder)
    url = server.http_url.partition("//")[2]
    code = f"""
import os, signal, numpy as np, tritonclient.http as t, tritonclient.utils.shared_memory as shm
h = shm.create_shared_memory_region("d", "/sonic-dies", 4096)
shm.set_shared_memory_region(h, [np.arange(4, dtype=np.float32)])
c = t.InferenceServerClient({url!r})
c.register_system_shared_memory("d", "/sonic-dies", 4096)
os.unlink("/dev/shm/sonic-dies")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    client = triton_http.InferenceServerClient(url)
    x = triton_http.InferInput("in0", [4], "FP32")
    x.set_shared_memory("d", 16)
    assert client.infer("i", [x]).as_numpy("out0").tolist() == [0, 1, 2, 3]
    client.close()


def test_shared_memory_is_off_when_the_server_says_so(kind: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.identity("i", "FP32")
    client = connect(serve(folder, allow_client_shm=False))
    with pytest.raises(InferenceServerException, match="--no-allow-client-shm"):
        client.register_system_shared_memory("r", "/r", 10)
    x = TRITON[kind].InferInput("in0", [4], "FP32")
    x.set_shared_memory("r", 16)
    with pytest.raises(InferenceServerException, match="--no-allow-client-shm"):
        client.infer("i", [x])


# ---- classes --------------------------------------------------------------------------------------------------------


def test_outputs_as_classes(kind: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.add(
        "c",
        """backend: "identity" max_batch_size: 4
        input [ { name: "in0" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "in1" data_type: TYPE_INT32 dims: [ 3 ] } ]
        output [ { name: "out0" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" },
                 { name: "out1" data_type: TYPE_INT32 dims: [ 3 ] } ]""",
    )
    (folder.path / "c" / "labels.txt").write_text("cat\ndog\n")
    client, triton = connect(serve(folder)), TRITON[kind]
    inputs = []
    for name, array in (
        ("in0", np.array([[0.5, 2, 1], [-1, -2, 3]], np.float32)),
        ("in1", np.array([[1, 5, 2], [9, 8, 7]], np.int32)),
    ):
        inputs.append(triton.InferInput(name, [2, 3], {"in0": "FP32", "in1": "INT32"}[name]))
        inputs[-1].set_data_from_numpy(array)
    outputs = [triton.InferRequestedOutput("out0", class_count=2), triton.InferRequestedOutput("out1", class_count=9)]
    result = client.infer("c", inputs, outputs=outputs)
    assert result.as_numpy("out0").tolist() == [
        [b"2.000000:1:dog", b"1.000000:2"],
        [b"3.000000:2", b"-1.000000:0:cat"],
    ]
    assert result.as_numpy("out1").tolist() == [[b"5:1", b"2:2", b"1:0"], [b"9:0", b"8:1", b"7:2"]]


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.fixture
def _logger() -> Iterator[None]:
    logger = logging.getLogger("sonic")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("_logger")
def test_log_settings(kind: str, folder: Any, serve: Any, connect: Any, caplog: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))

    def values(answer: Any) -> dict[str, Any]:
        if kind == "http":
            return answer
        return {n: getattr(s, s.WhichOneof("parameter_choice")) for n, s in answer.settings.items()}

    client.update_log_settings({"log_verbose_level": 0, "log_info": False})
    assert values(client.get_log_settings())["log_info"] is False
    changed = values(client.update_log_settings({"log_verbose_level": 1}))
    assert changed["log_verbose_level"] == 1
    assert (changed["log_error"], changed["log_file"], changed["log_format"]) == (True, "", "default")
    assert logging.getLogger("sonic.server").isEnabledFor(logging.DEBUG)
    client.update_log_settings({"log_verbose_level": 0})
    assert not logging.getLogger("sonic.server").isEnabledFor(logging.INFO)
    for settings, text in (
        ({"log_file": "/tmp/x"}, "log file location can not be updated through network protocol"),
        ({"log_nope": True}, "no log setting 'log_nope'"),
        ({"log_format": "xml"}, "log_format is default or ISO8601, given 'xml'"),
    ):
        with pytest.raises(InferenceServerException, match=text):
            client.update_log_settings(settings)


def test_traces(kind: str, folder: Any, serve: Any, connect: Any, tmp_path: Path) -> None:
    folder.onnx("a")
    file = tmp_path / "trace.json"
    client, triton = connect(serve(folder, trace_file=file)), TRITON[kind]

    def values(answer: Any) -> dict[str, Any]:
        if kind == "http":
            return answer
        return {n: list(s.value) if n == "trace_level" else s.value[0] for n, s in answer.settings.items()}

    assert values(client.get_trace_settings()) == {
        "trace_file": str(file),
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_mode": "triton",
    }
    settings = {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"}
    assert values(client.update_trace_settings("a", settings))["trace_rate"] == "2"
    assert values(client.get_trace_settings())["trace_level"] == ["OFF"]
    x = triton.InferInput("x", [1, 4], "FP32")
    x.set_data_from_numpy(np.zeros((1, 4), np.float32))
    for number in range(7):
        client.infer("a", [x], request_id=str(number))
    traces = json.loads(file.read_text())
    assert [(trace["request_id"], trace["model_version"]) for trace in traces] == [("1", 1), ("3", 1)]
    times = {row["name"]: row["ns"] for row in traces[0]["timestamps"]}
    order = [
        "REQUEST_START",
        "QUEUE_START",
        "COMPUTE_START",
        "COMPUTE_INPUT_END",
        "COMPUTE_OUTPUT_START",
        "COMPUTE_END",
    ]
    assert list(times) == [*order, "REQUEST_END"]
    assert list(times.values()) == sorted(times.values())
    assert values(client.get_trace_settings("a"))["trace_count"] == "0"
    assert values(client.update_trace_settings("a", {"trace_rate": None}))["trace_rate"] == "1000"
    for model, changes, text in (
        (None, {"trace_rate": "0"}, "trace_rate is a number from 1, given '0'"),
        (None, {"trace_level": ["LOUD"]}, "trace_level is OFF or TIMESTAMPS, given 'LOUD'"),
        (None, {"trace_file": "/etc/passwd"}, "trace file location can not be updated through network protocol"),
        (None, {"nope": "1"}, "no trace setting 'nope'"),
        ("z", {"trace_rate": "1"}, "Request for unknown model: 'z' is not found"),
    ):
        with pytest.raises(InferenceServerException, match=text):
            client.update_trace_settings(model, changes)


def test_nothing_is_traced_without_a_file(kind: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    client = connect(serve(folder))
    with pytest.raises(InferenceServerException, match="not started with --trace-file"):
        client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    info = client.get_server_metadata(**({"as_json": True} if kind == "grpc" else {}))
    assert "trace" not in info["extensions"]
    assert {"classification", "logging", "statistics"} <= set(info["extensions"])


# ---- HTTP alone -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/v2/systemsharedmemory/region/r/register", b"", "a register request"),
        ("/v2/systemsharedmemory/region/r/register", b'{"key": 3, "byte_size": 1}', "a register request"),
        (
            "/v2/systemsharedmemory/region/r/register",
            b'{"key": "/a", "byte_size": -1}',
            "given offset 0 and byte size -1",
        ),
        ("/v2/logging", b"[]", "an object of settings"),
        ("/v2/logging", b'{"log_info": 3}', "log setting log_info is true or false, given 3"),
        ("/v2/trace/setting", b'{"trace_rate": [[]]}', "trace setting trace_rate is a string or strings"),
    ],
)
def test_bad_bodies(path: str, body: bytes, text: str, folder: Any, serve: Any) -> None:
    folder.onnx("a")
    answer = httpx.post(serve(folder).http_url + path, content=body)
    assert (answer.status_code, text in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("path", ["/v2/logging", "/v2/trace/setting", "/v2/models/a/trace/setting"])
def test_a_method_that_is_not_offered_is_told_all_that_are(path: str, folder: Any, serve: Any) -> None:
    folder.onnx("a")
    answer = httpx.put(serve(folder).http_url + path)
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "POST"})


def test_names_that_climb(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    base = serve(folder, explicit=True, models=["a"]).http_url
    for name in ("..%2f..%2fetc", "%2e%2e", "a%00", "..%5c"):
        for method, path in (("GET", ""), ("POST", "/infer"), ("GET", "/versions/%2e%2e%2f1"), ("GET", "/config")):
            assert httpx.request(method, f"{base}/v2/models/{name}{path}").status_code in (400, 404)
        assert httpx.post(f"{base}/v2/repository/models/{name}/load").status_code == 404
    answer = httpx.put(f"{base}/v2/models/a/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_an_escaped_slash_is_part_of_a_name(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    base = serve(folder, explicit=True, models=["a"]).http_url
    for method, path in (
        ("GET", "health%2Fready"),
        ("POST", "repository%2Findex"),
        ("POST", "models/a/versions/1%2Finfer"),
        ("POST", "repository/models/a%2Funload"),
    ):
        assert httpx.request(method, f"{base}/v2/{path}").status_code in (404, 405)
    asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}
    for method, path in (("GET", ""), ("GET", "/config"), ("POST", "/infer")):
        answer = httpx.request(method, f"{base}/v2/models/b%2fa%252F{path}", json=asked)
        assert "'b/a%2F'" in answer.json()["error"]
    region = f"{base}/v2/systemsharedmemory/region/b%2Fa/status"
    assert "'b/a'" in httpx.get(region).json()["error"]
    with sonic.Client([base]) as client, pytest.raises(ModelNotFound, match="'b/a'"):
        client.model("b/a").spec  # noqa: B018
    assert httpx.get(f"{base}/v2/models/a/ready").status_code == 200


# ---- gRPC alone -----------------------------------------------------------------------------------------------------


def test_a_stream_outlives_its_errors(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    client = triton_grpc.InferenceServerClient(serve(folder).grpc_url.partition("//")[2])
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(callback=lambda result, error: ended.put((result, error)))
    for number in range(9):
        columns = 3 if number == 4 else 4
        x = triton_grpc.InferInput("x", [1, columns], "FP32")
        x.set_data_from_numpy(np.zeros((1, columns), np.float32))
        client.async_stream_infer("a", [x], request_id=str(number))
    answers = [ended.get(timeout=20) for _ in range(9)]
    client.stop_stream()
    client.close()
    assert [number for number, (_, error) in enumerate(answers) if error] == [4]
    assert "unexpected shape for input 'x' for model 'a'. Expected [-1,4], got [1,3]" in str(answers[4][1])
    assert [result.get_response().id for result, error in answers if not error] == [str(n) for n in range(9) if n != 4]
    assert answers[0][0].get_response().parameters["triton_final_response"].bool_param


def test_an_error_in_a_stream_names_its_request(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    with grpc.insecure_channel(serve(folder).grpc_url.partition("//")[2]) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        bad = pb.ModelInferRequest(model_name="a", id="4")
        bad.inputs.add(name="x", datatype="FP9")
        answers = list(call(iter([pb.ModelInferRequest(model_name="z", id="3"), bad]), timeout=20))
    assert [answer.infer_response.id for answer in answers] == ["3", "4"]
    assert [answer.error_message for answer in answers] == [
        "Request for unknown model: 'z' is not found: there is a",
        answers[1].error_message,
    ]
    assert "unknown datatype 'FP9'" in answers[1].error_message


def test_health_is_watched(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    with grpc.insecure_channel(server.grpc_url.partition("//")[2]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(20)]
        assert {next(watch).status for watch in watched} == {health_pb2.HealthCheckResponse.SERVING}
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nope"), timeout=30)
        assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        assert "" in stub.List(health_pb2.HealthListRequest(), timeout=10).statuses
        server.dataplane.drain(0)
        assert {next(watch).status for watch in watched} == {health_pb2.HealthCheckResponse.NOT_SERVING}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(version: str, folder: Any, serve: Any) -> None:
    folder.onnx("a")
    request = reflection_pb2.ServerReflectionRequest
    with grpc.insecure_channel(serve(folder).grpc_url.partition("//")[2]) as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = [
            request(list_services=""),
            request(file_containing_symbol="inference.GRPCInferenceService"),
            request(file_by_filename="sonic/protocol/proto/health.proto"),
            request(file_containing_symbol="no.Such"),
            request(),
        ]
        services, symbol, file, absent, empty = call(iter(asked), timeout=20)
    names = {row.name for row in services.list_services_response.service}
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
    assert len(symbol.file_descriptor_response.file_descriptor_proto) == 2
    assert len(file.file_descriptor_response.file_descriptor_proto) == 1
    assert (absent.error_response.error_code, empty.error_response.error_code) == (5, 3)
