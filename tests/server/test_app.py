from __future__ import annotations

import queue
import sys
import threading
from math import inf
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

import sonic
from sonic.errors import ConfigError, Unavailable
from sonic.protocol.messages import InferRequest
from sonic.server.sockets import listen

if TYPE_CHECKING:
    from pathlib import Path


def request(client: Any = None) -> Any:
    x = np.ones((1, 2), np.float32)
    if client is None:
        return InferRequest("scripted", {"x": x})
    tensor = triton.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    return [tensor]


def test_serve_in_a_with_block(folder: Any, other_folder: Any) -> None:
    folder.onnx("a")
    other_folder.onnx("b")
    with sonic.serve(folder.path, str(other_folder.path), cores=1) as server:
        assert httpx.get(f"{server.http_url}/v2/health/ready").status_code == 200
        assert server.grpc_url == f"grpc://127.0.0.1:{server.grpc_port}"
        assert server.metrics_url.endswith("/metrics")
        assert len({server.grpc_port, server.http_port, server.metrics_port}) == 3
        assert [model.spec.name for model in server.dataplane.models()] == ["a", "b"]
        assert repr(server) == f"<Server {server.grpc_url}, {server.http_url}>"
    for port in (server.grpc_port, server.http_port, server.metrics_port):
        listen("127.0.0.1", port, "--http-port").close()  # free again
    assert server.close()
    assert repr(server) == "<Server closed>"


def test_another_host(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder, host="::1")
    assert server.http_url.startswith("http://[::1]:")
    assert httpx.get(f"{server.http_url}/v2/health/ready").status_code == 200


@pytest.mark.parametrize("which", ["grpc", "http", "metrics"])
def test_a_port_that_is_taken_is_said_before_models_are_loaded(which: str, folder: Any, serve: Any) -> None:
    folder.onnx("a", b"broken, but it does not come to that")
    with listen("127.0.0.1", 0, "--http-port") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken on 127.0.0.1: choose another with --{which}-port"):
            serve(folder, **{f"{which}_port": port})


def test_what_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import sonic\n@sonic.service(inputs={'x': 'FP32[-1]'}, outputs={'y': 'FP32[-1]'})\ndef same(x): return x\n"
    )
    before = set(sys.modules), threading.active_count()
    for wrong, text in (
        ({"http_socket": tmp_path / "gone" / "http.sock"}, "there is no folder"),
        ({"poll_s": 0.0}, "must be above 0 s"),
        ({"trace_file": tmp_path / "gone" / "trace"}, "cannot write traces"),
    ):
        with pytest.raises(ConfigError, match=text):
            sonic.serve(f"{tmp_path / 'own.py'}", grpc_socket=tmp_path / "grpc.sock", **wrong)
        assert not (tmp_path / "grpc.sock").exists()
        assert (set(sys.modules), threading.active_count()) == before


def test_two_servers_do_not_share_a_port(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    first = serve(folder)
    for which in ("grpc", "http", "metrics"):
        with pytest.raises(ConfigError, match="is taken"):
            serve(folder, **{f"{which}_port": getattr(first, f"{which}_port")})


def test_a_model_that_cannot_be_loaded(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    folder.onnx("b", b"broken")
    before = threading.active_count()
    with pytest.raises(ConfigError, match="model 'b' version 1 cannot be loaded"):
        serve(folder)
    assert threading.active_count() == before
    server = serve(folder, strict=False)
    assert httpx.get(f"{server.http_url}/v2/health/ready").status_code == 503
    assert httpx.get(f"{server.http_url}/v2/models/a/ready").status_code == 200
    assert serve(folder, models=["a"]).dataplane.ready()


@pytest.mark.parametrize("drain_s", [30, inf])
def test_close_lets_requests_end_and_refuses_new_ones(
    drain_s: float, folder: Any, serve: Any, script: Any, until: Any
) -> None:
    folder.scripted()
    server = serve(folder)
    client = triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
    script.hold()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(3):
        client.async_infer("scripted", request(client), callback=lambda result, error: results.put((result, error)))
    script.wait_started()
    (model,) = server.dataplane.models()
    until(lambda: model.pending + sum(script.batches) == 3)  # the first may have gone together
    closed: list[bool] = []
    closing = threading.Thread(target=lambda: closed.append(server.close(drain_s=drain_s)))
    closing.start()
    until(lambda: not server.dataplane.accepting)
    with pytest.raises(InferenceServerException, match="Server is stopping"):
        client.infer("scripted", request(client))
    script.release()
    closing.join(20)
    assert closed == [True]
    for result, error in (results.get(timeout=10) for _ in range(3)):
        assert error is None
        assert result.as_numpy("y").tolist() == [[2, 2]]
    client.close()


def test_close_does_not_wait_for_ever(folder: Any, serve: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder)
    script.hold()
    futures = [server.dataplane.infer(request(), inline=False) for _ in range(2)]
    script.wait_started()
    assert server.close(drain_s=0.0) is False
    for future in futures:
        assert isinstance(future.exception(10), Unavailable)
    assert isinstance(server.dataplane.infer(request()).exception(0), Unavailable)


def test_a_server_closed_in_mid_request_ends_the_calls(folder: Any, serve: Any, script: Any, until: Any) -> None:
    folder.scripted()
    server = serve(folder)
    client = triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
    script.hold()
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(2):
        client.async_infer("scripted", request(client), callback=lambda result, error: results.put(error))
    script.wait_started()
    with httpx.Client() as http:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]}
        status: list[int] = []
        post = threading.Thread(
            target=lambda: status.append(
                http.post(f"{server.http_url}/v2/models/scripted/infer", json=body).status_code
            )
        )
        post.start()
        (model,) = server.dataplane.models()
        until(lambda: model.pending + sum(script.batches) == 3)  # the first may have gone together
        server.close(drain_s=0.0)
        post.join(10)
    assert status == [503]
    errors = [results.get(timeout=10) for _ in range(2)]
    assert all(isinstance(error, InferenceServerException) for error in errors)
    assert {error.status() for error in errors} <= {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}
    client.close()


def test_overload_is_refused_at_once(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder, max_queue=2)
    script.hold()
    accepted = [server.dataplane.infer(request(), inline=False)]
    script.wait_started()
    accepted += [server.dataplane.infer(request(), inline=False) for _ in range(2)]
    with sonic.Model(f"{server.grpc_url}/scripted") as model, httpx.Client() as http:
        refused = model.submit(x=np.ones((1, 2), np.float32))
        with pytest.raises(Unavailable, match="2 requests wait already"):
            refused.result(10)
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}]}
        answer = http.post(f"{server.http_url}/v2/models/scripted/infer", json=body)
        assert (answer.status_code, "2 requests wait already" in answer.json()["error"]) == (503, True)
    script.release()
    assert [future.result(10).outputs["y"][0, 0] for future in accepted] == [2, 2, 2]


def test_a_bound_below_zero_is_refused(folder: Any) -> None:
    folder.onnx("a")
    with pytest.raises(ConfigError, match="bound of a queue"):
        sonic.serve(folder.path, max_queue=-1)
    with pytest.raises(ConfigError, match="bytes that may wait"):
        sonic.serve(folder.path, max_queue_bytes=-1)


def test_loads_that_take_long_hold_up_nothing_else_nor_the_end(folder: Any, serve: Any, script: Any) -> None:
    folder.identity("big", "FP32")
    names = [f"slow{number}" for number in range(8)]
    for name in names:
        folder.scripted(name)
    server = serve(folder, explicit=True, models=["big"])
    gate = threading.Event()
    script.load = lambda: gate.wait(60)
    address = server.grpc_url.removeprefix("grpc://")
    client, other = triton.InferenceServerClient(address), triton.InferenceServerClient(address)
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def load(name: str, way: str) -> None:
        try:
            if way == "grpc":
                other.load_model(name)
            else:
                httpx.post(f"{server.http_url}/v2/repository/models/{name}/load", timeout=60)
        except (InferenceServerException, httpx.HTTPError) as error:
            ended.put(error)

    loads = [threading.Thread(target=load, args=(name, way)) for name in names for way in ("grpc", "http")]
    for thread in loads:
        thread.start()
    x = np.ones(2_000_000, np.float32)
    tensor = triton.InferInput("in0", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    assert client.infer("big", [tensor], client_timeout=20).as_numpy("out0").shape == x.shape
    assert client.get_model_metadata("big", client_timeout=20).name == "big"
    assert httpx.get(server.metrics_url, timeout=20).status_code == 200
    assert server.close(drain_s=0.01) is False
    for thread in loads:
        thread.join(20)
    assert ended.qsize() == len(loads)
    gate.set()
    client.close()
    other.close()


def test_a_load_in_hand_ends_before_the_server(folder: Any, serve: Any, script: Any, until: Any) -> None:
    folder.scripted()
    server = serve(folder, explicit=True)
    loading, gate = threading.Event(), threading.Event()
    script.load = lambda: loading.set() or gate.wait(10)
    answers: list[int] = []
    url = f"{server.http_url}/v2/repository/models/scripted/load"
    post = threading.Thread(target=lambda: answers.append(httpx.post(url, timeout=20).status_code))
    post.start()
    assert loading.wait(10)
    closed: list[bool] = []
    closing = threading.Thread(target=lambda: closed.append(server.close(drain_s=10)))
    closing.start()
    until(lambda: not server.dataplane.accepting)
    with pytest.raises(Unavailable, match="it loads and unloads no more models"):
        server.dataplane.load("scripted")
    gate.set()
    for thread in (post, closing):
        thread.join(20)
    assert (answers, closed) == ([200], [True])
