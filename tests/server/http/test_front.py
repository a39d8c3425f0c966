"""The HTTP front, with the unmodified tritonclient, and with httpx where that one is too polite."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from sonic.protocol import http_codec
from sonic.protocol.messages import InferRequest
from sonic.protocol.repeats import LENGTHY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def connect() -> Iterator[Callable[[Any], triton.InferenceServerClient]]:
    made: list[triton.InferenceServerClient] = []

    def make(server: Any) -> triton.InferenceServerClient:
        made.append(triton.InferenceServerClient(server.http_url.removeprefix("http://"), concurrency=4))
        return made[-1]

    yield make
    for client in made:
        client.close()


def tensors(*, binary: bool = True, **arrays: np.ndarray) -> list[Any]:
    inputs = []
    for name, array in arrays.items():
        inputs.append(triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(binary_in: bool, binary_out: bool, folder: Any, serve: Any, connect: Any) -> None:
    folder.identity("i", "FP32", "STRING")
    x, s = np.array([0.1, -2], np.float32), np.array([b"a", b""], np.object_)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("out0", "out1")]
    result = connect(serve(folder)).infer(
        "i", tensors(binary=binary_in, in0=x, in1=s), outputs=outputs, request_id="7", model_version="1"
    )
    np.testing.assert_array_equal(result.as_numpy("out0"), x)
    assert [_octets(word) for word in result.as_numpy("out1")] == [b"a", b""]
    assert result.get_response()["id"] == "7"


def _octets(word: str | bytes) -> bytes:
    return word.encode() if isinstance(word, str) else word


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression_both_ways(algorithm: str, folder: Any, serve: Any, connect: Any) -> None:
    folder.identity("i", "FP32")
    x = np.zeros(100_000, np.float32)
    result = connect(serve(folder)).infer(
        "i",
        tensors(in0=x),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    np.testing.assert_array_equal(result.as_numpy("out0"), x)


def test_a_response_is_compressed_only_on_demand(folder: Any, serve: Any) -> None:
    folder.identity("i", "INT8")
    body = {"inputs": [{"name": "in0", "datatype": "INT8", "shape": [2], "data": [1, 2]}]}
    url = f"{serve(folder).http_url}/v2/models/i/infer"
    for accepted, encoding in (("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", None), ("br", None)):
        answer = httpx.post(url, json=body, headers={"Accept-Encoding": accepted})
        assert answer.headers.get("content-encoding") == encoding
        assert answer.json()["outputs"][0]["data"] == [1, 2]


def test_what_takes_long_is_read_and_written_where_nobody_waits(
    folder: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def noted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            threads.append(threading.current_thread().name)
            return real(*given)

        return call

    for function in ("request_from_wire", "response_to_wire"):
        monkeypatch.setattr(http_codec, function, noted(getattr(http_codec, function)))
    folder.identity("i", "FP32")
    folder.identity("t", "STRING")
    url = serve(folder).http_url
    count = LENGTHY_BYTES // 2

    def ask(data: list[Any], model: str = "i", datatype: str = "FP32", **kwargs: Any) -> Any:
        tensor = {"name": "in0", "datatype": datatype, "shape": [len(data)], "data": data}
        return httpx.post(f"{url}/v2/models/{model}/infer", content=json.dumps({"inputs": [tensor]}), **kwargs)

    def post(model: str, inputs: dict[str, np.ndarray], headers: dict[str, str] | None = None) -> Any:
        body, length = http_codec.request_to_wire(InferRequest(model, inputs))
        if headers:
            body = gzip.compress(body)
        given = {http_codec.HEADER_LENGTH: str(length)} | (headers or {})
        return httpx.post(f"{url}/v2/models/{model}/infer", content=body, headers=given)

    loop = ask([1.0])
    (reader, _), threads[:] = threads, []
    assert loop.status_code == 200
    assert ask([1.0] * count).json()["outputs"][0]["data"] == [1.0] * count
    texts = np.full(LENGTHY_BYTES // 4, b"", object)
    assert post("t", {"in0": texts}).status_code == 200
    assert post("i", {"in0": np.ones(3, np.float32)}, {"Content-Encoding": "gzip"}).status_code == 200
    assert len(threads) == 6
    assert reader not in threads
    threads.clear()
    assert post("i", {"in0": np.ones(LENGTHY_BYTES, np.float32)}).status_code == 200
    assert threads[0] == reader  # it is a view


def test_what_the_server_says(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    folder.onnx("b")
    client = connect(serve(folder))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("a")
    assert client.is_model_ready("a", "1")
    assert not client.is_model_ready("a", "2")
    assert client.get_server_metadata()["name"] == "sonic"
    assert client.get_model_metadata("a")["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]
    assert client.get_model_config("a", "1")["dynamic_batching"]["preferred_batch_size"] == [1024]
    assert [row["name"] for row in client.get_model_repository_index()] == ["a", "b"]
    client.infer("a", tensors(x=np.zeros((3, 4), np.float32)))
    (row,) = client.get_inference_statistics("a")["model_stats"]
    assert (row["inference_count"], row["execution_count"]) == (3, 1)
    assert len(client.get_inference_statistics()["model_stats"]) == 2


def test_errors_have_their_status_and_their_words(folder: Any, serve: Any, connect: Any, script: Any) -> None:
    folder.onnx("a")
    folder.scripted()
    script.run = lambda x: 1 / 0
    client = connect(serve(folder))
    good = np.zeros((3, 4), np.float32)
    for model, inputs, status, text in (
        ("z", {"x": good}, "404", "Request for unknown model: 'z' is not found: there is a, scripted"),
        ("a", {"x": good[:, :2]}, "400", "unexpected shape for input 'x' for model 'a'. Expected [-1,4], got [3,2]"),
        ("scripted", {"x": good[:, :2]}, "500", "model 'scripted' failed: ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, tensors(**inputs))
        assert (caught.value.status(), caught.value.message()) == (status, text)
    with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
        client.load_model("a")


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (b"{", {}, "the body is not an infer request"),
        (b"[]", {}, "the body is not an infer request"),
        (b"{}", {"Inference-Header-Content-Length": "99"}, "in range (0, 2), got: 99: Inference-Header-Content-Length"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, "a header that counts bytes is a whole number, given '-1'"),
        (b"{}", {"Content-Encoding": "gzip"}, "the body is not gzip"),
        (
            gzip.compress(b"{}", mtime=0) + b"more",
            {"Content-Encoding": "gzip"},
            "the body is not one whole gzip stream",
        ),
        (zlib.compress(b"{}")[:-2], {"Content-Encoding": "deflate"}, "the body is not one whole deflate stream"),
    ],
)
def test_bad_bodies(body: bytes, headers: dict[str, str], text: str, folder: Any, serve: Any) -> None:
    folder.onnx("a")
    answer = httpx.post(f"{serve(folder).http_url}/v2/models/a/infer", content=body, headers=headers)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


def test_an_unknown_compression_is_not_offered(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    url = f"{serve(folder).http_url}/v2/models/a/infer"
    answer = httpx.post(url, content=b"{}", headers={"Content-Encoding": "br"})
    assert (answer.status_code, "Unsupported compression type 'br'" in answer.json()["error"]) == (501, True)


def test_a_body_without_json(folder: Any, serve: Any) -> None:
    folder.identity("i", "FP32")
    folder.identity("two", "FP32", "FP32")
    base = f"{serve(folder).http_url}/v2/models"
    x = np.arange(8, dtype=np.float32).tobytes()

    def ask(model: str) -> httpx.Response:
        headers = {"Inference-Header-Content-Length": "0"}
        return httpx.post(f"{base}/{model}/infer", content=(x[:4], x[4:]), headers=headers)

    answer = ask("i")
    assert answer.content[int(answer.headers["Inference-Header-Content-Length"]) :] == x
    for model, status, text in (("two", 400, "but got 2 inputs in 'two' model"), ("z", 404, "unknown model: 'z'")):
        assert (ask(model).status_code, text in ask(model).json()["error"]) == (status, True)


def test_a_body_that_grows_too_large_is_refused(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    url = f"{serve(folder, max_message_bytes=1000).http_url}/v2/models/a/infer"
    bomb = gzip.compress(bytes(100_000))
    assert len(bomb) < 1000
    for content, headers in (
        (bytes(1001), {}),
        ((bytes(600) for _ in range(2)), {}),
        (bomb, {"Content-Encoding": "gzip"}),
    ):
        answer = httpx.post(url, content=content, headers=headers)
        assert answer.status_code == 400
        assert "at most 1000 bytes" in answer.json()["error"]


def test_routes_there_are_not(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    base = serve(folder).http_url
    for method, path, status in (
        ("GET", "/v3", 404),
        ("GET", "/v2/models/a/infer", 405),
        ("POST", "/v2", 405),
        ("GET", "/v2/", 404),
        ("POST", "/v2/models/a/infer/", 404),
        ("GET", "//v2", 404),
    ):
        answer = httpx.request(method, base + path, headers={"Host": "["})
        assert (answer.status_code, answer.json()["error"]) == (status, f"{method} {path} is not offered")


def test_control_and_index(folder: Any, serve: Any, connect: Any) -> None:
    folder.onnx("a")
    server = serve(folder, explicit=True)
    client = connect(server)
    index = f"{server.http_url}/v2/repository/index"
    assert httpx.post(index).json()[0]["state"] == "UNAVAILABLE"
    assert httpx.post(index, json={"ready": True}).json() == []
    assert httpx.post(index, json={"ready": 3}).status_code == 400
    assert httpx.post(index, json=[]).status_code == 400
    client.load_model("a")
    assert client.is_model_ready("a")
    client.load_model("a", config='{"max_batch_size": 3}')
    assert client.get_model_config("a")["max_batch_size"] == 3
    client.unload_model("a")
    assert not client.is_model_ready("a")


def test_health_while_draining(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    server.dataplane.drain(0)
    health = f"{server.http_url}/v2/health"
    assert [httpx.get(f"{health}/{what}").status_code for what in ("live", "ready")] == [200, 503]
    assert [httpx.get(f"{health}/{what}").json() for what in ("live", "ready")] == [{"live": True}, {"ready": False}]
    assert httpx.get(f"{server.http_url}/v2/models/a/ready").status_code == 503
    answer = httpx.post(f"{server.http_url}/v2/models/a/infer", json={"inputs": []})
    assert (answer.status_code, "Server is stopping" in answer.text) == (503, True)


def test_the_event_loop_stays_free(folder: Any, serve: Any, connect: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder)
    client = connect(server)
    x = tensors(x=np.ones((1, 2), np.float32))
    script.hold()
    with ThreadPoolExecutor(3) as pool:
        futures = [
            pool.submit(triton.InferenceServerClient(server.http_url[7:]).infer, "scripted", x) for _ in range(3)
        ]
        script.wait_started()
        assert client.is_server_ready()
        script.release()
        assert [future.result(10).as_numpy("y").tolist() for future in futures] == [[[2, 2]]] * 3


def test_what_comes_while_the_loop_is_busy_is_executed_together_in_it(folder: Any, serve: Any, connect: Any) -> None:
    folder.identity("i", "FP32", batch=64, dims="2", extra="dynamic_batching {}")
    server = serve(folder)
    client = connect(server)
    for _ in range(8):  # now it is known to be short
        client.infer("i", tensors(in0=np.zeros((1, 2), np.float32)))
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        go_on.wait(30)

    body = b'{"inputs":[{"name":"in0","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
    head = b"POST /v2/models/i/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    address = httpx.URL(server.http_url)
    with ExitStack() as stack:
        stack.callback(go_on.set)
        streams = [
            stack.enter_context(socket.create_connection((address.host, address.port), timeout=30)) for _ in range(5)
        ]
        for stream in streams:
            stream.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b" 200 " in stream.recv(4096)
        server._loop.loop.call_soon_threadsafe(hold)
        assert busy.wait(30)
        for stream in streams:
            stream.sendall(head + body)
        go_on.set()
        assert all(b'"data":[1.0,2.0]' in stream.recv(4096) for stream in streams)
    batches = client.get_inference_statistics("i")["model_stats"][0]["batch_stats"]
    assert [row["batch_size"] for row in batches] == [1, 5]


def test_from_asyncio(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    url = serve(folder).http_url.removeprefix("http://")

    async def ask() -> list[tuple[int, ...]]:
        async with triton_aio.InferenceServerClient(url) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("a"))["name"] == "a"
            calls = [client.infer("a", tensors(x=np.zeros((rows, 4), np.float32))) for rows in (1, 2, 3)]
            return [result.as_numpy("y").shape for result in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [(1, 2), (2, 2), (3, 2)]


def test_load_and_unload_with_parameters(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder, explicit=True)

    def ask(what: str, parameters: object) -> httpx.Response:
        return httpx.post(f"{server.http_url}/v2/repository/models/a/{what}", json={"parameters": parameters})

    assert ask("load", {"config": '{"max_batch_size": 3}'}).status_code == 200
    assert httpx.get(f"{server.http_url}/v2/models/a/config").json()["max_batch_size"] == 3
    refused = ask("load", {"config": "{}", "file:1/model.onnx": "AAAA"})
    assert (refused.status_code, "files come from its folder" in refused.json()["error"]) == (501, True)
    for what, parameters in (("load", {"config": "{"}), ("load", [1]), ("unload", {"unload_dependents": 1})):
        assert ask(what, parameters).status_code == 400
    assert ask("unload", {"unload_dependents": False}).status_code == 200
    assert httpx.get(f"{server.http_url}/v2/models/a/ready").status_code != 200


def test_statistics_of_batches(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    x = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [0.0] * 8}
    for _ in range(2):
        assert httpx.post(f"{server.http_url}/v2/models/a/infer", json={"inputs": [x]}).status_code == 200
    (row,) = httpx.get(f"{server.http_url}/v2/models/a/stats").json()["model_stats"]
    (batch,) = row["batch_stats"]
    assert (batch["batch_size"], batch["compute_infer"]["count"]) == (2, 2)
    assert row["inference_stats"]["cache_miss"] == {"count": 0, "ns": 0}


def test_many_idle_connections(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    before_bytes = psutil.Process().memory_info().rss
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.http_port), timeout=20))
            for _ in range(2000)
        ]
        for client in (clients[0], clients[-1]):
            client.sendall(b"GET /v2/health/ready HTTP/1.1\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert psutil.Process().memory_info().rss - before_bytes < 2000 * 20_000
        assert server.close()
        assert clients[1].recv(1) == b""


def test_close_answers_what_it_has_and_ends_the_connection(
    folder: Any, serve: Any, connect: Any, script: Any, until: Any
) -> None:
    folder.scripted()
    server = serve(folder)
    script.hold()
    with ThreadPoolExecutor(2) as pool, httpx.Client() as http:
        x = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}
        url = f"{server.http_url}/v2/models/scripted/infer"
        slow = pool.submit(http.post, url, json={"inputs": [x]})
        script.wait_started()
        closed = pool.submit(server.close, 20)
        until(lambda: not server.dataplane.accepting)
        refused = httpx.post(url, json={"inputs": [x]})
        assert (refused.status_code, "Server is stopping" in refused.text) == (503, True)
        script.release()
        assert slow.result(20).json()["outputs"][0]["data"] == [2, 2]
        assert closed.result(20) is True
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.http_url)


def test_metrics_have_a_port_of_their_own(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    assert "nv_inference_count" in httpx.get(server.metrics_url).text
    assert httpx.get(server.metrics_url.replace("/metrics", "/v2")).status_code == 404
    assert httpx.head(server.metrics_url).headers["content-length"] != "0"
