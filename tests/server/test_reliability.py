"""A server over real gRPC and HTTP, at its worst: what fails harms only its own requests, and nothing is lost."""

from __future__ import annotations

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.client.grpc import GrpcTransport
from sonic.client.http import HttpTransport
from sonic.errors import DeadlineExceeded, InvalidRequest, ModelFailed, ModelNotFound, Unavailable
from sonic.protocol import http_codec
from sonic.protocol.messages import InferRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RAISES, WRONG_SHAPE = -1.0, -2.0


def request(value: float, model: str = "scripted", timeout_s: float | None = None) -> InferRequest:
    return InferRequest(model, {"x": np.full((1, 2), value, np.float32)}, timeout_s=timeout_s)


def model(x: np.ndarray) -> Any:
    """Double what it is given, unless told to raise or to leave a row out."""
    if (x == RAISES).any():
        raise ValueError("told to raise")
    return {"y": 2 * x[x[:, 0] != WRONG_SHAPE]}


@pytest.fixture
def ways() -> Iterator[Callable[[Any], list[Any]]]:
    """Transports to a server over gRPC and HTTP."""
    made: list[Any] = []

    def connect(server: Any) -> list[Any]:
        made.append(GrpcTransport(server.grpc_url.removeprefix("grpc://")))
        made.append(HttpTransport(server.http_url.removeprefix("http://")))
        return made[-2:]

    yield connect
    for way in made:
        way.close()


def test_what_fails_in_a_batch_fails_alone(folder: Any, serve: Any, script: Any, until: Any, ways: Any) -> None:
    folder.scripted()
    server = serve(folder)
    script.run = model
    script.hold()
    first = ways(server)[0].submit(request(0.0))
    script.wait_started()
    values = [1.0, RAISES, 2.0, WRONG_SHAPE, 3.0, 4.0]
    futures = [(value, way.submit(request(value))) for way in ways(server) for value in values]
    (served,) = server.dataplane.models()
    until(lambda: served.pending == len(futures))
    script.release()
    assert first.result(20).outputs["y"].tolist() == [[0, 0]]
    for value, future in futures:
        if value > 0:
            assert future.result(20).outputs["y"].tolist() == [[2 * value, 2 * value]]
        else:
            text = "told to raise" if value == RAISES else r"output 'y': expected shape \[1, 2\]"
            with pytest.raises(ModelFailed, match=text):
                future.result(20)
    assert max(script.batches) == len(futures)  # all of them had been in one


def test_a_model_that_hangs_holds_up_no_deadline_and_no_other_model(
    folder: Any, serve: Any, script: Any, ways: Any
) -> None:
    folder.scripted(batching="")
    folder.identity("other", "FP32", dims="2", batch=8)
    server = serve(folder)
    script.hold()
    both = ways(server)
    hanging = [way.submit(request(1.0, timeout_s=0.3)) for way in both]
    script.wait_started()
    for future in hanging:  # the one that is executed, and the one that waits behind it
        with pytest.raises(DeadlineExceeded):
            future.result(20)
    for way in both:
        other = InferRequest("other", {"in0": np.ones((1, 2), np.float32)})
        assert way.submit(other).result(20).outputs["out0"].tolist() == [[1, 1]]
        assert way.ready(timeout_s=20)
    script.release()
    for way in both:
        assert way.submit(request(3.0)).result(20).outputs["y"].tolist() == [[6, 6]]


def test_models_are_replaced_under_load_without_losing_a_request(
    folder: Any, serve: Any, script: Any, ways: Any
) -> None:
    folder.scripted(count=2)
    folder.onnx("dense")
    server = serve(folder, explicit=True, models=["*"], cores=2)
    over = threading.Event()
    done = threading.Semaphore(0)

    def load(way: Any, first: float) -> int:
        for number in itertools.count():
            if over.is_set():
                return number
            value = first + number
            assert way.submit(request(value)).result(30).outputs["y"].tolist() == [[2 * value, 2 * value]]
            x = np.full((2, 4), value, np.float32)
            (y,) = way.submit(InferRequest("dense", {"x": x})).result(30).outputs.values()
            assert y.shape == (2, 2)
            done.release()
        raise AssertionError

    with ThreadPoolExecutor(4) as pool:
        lanes = [pool.submit(load, way, 1e4 * n) for n, way in enumerate(way for _ in range(2) for way in ways(server))]
        try:
            for _ in range(10):
                for name in ("scripted", "dense"):
                    assert done.acquire(timeout=20)
                    folder.change(name)
                    server.dataplane.load(name)
        finally:
            over.set()
    assert all(lane.result() for lane in lanes)


def test_a_model_that_comes_and_goes_answers_or_is_unavailable(folder: Any, serve: Any, script: Any, ways: Any) -> None:
    folder.scripted()
    server = serve(folder, explicit=True, models=["*"])
    both = ways(server)
    for way in both:
        server.dataplane.unload("scripted")
        with pytest.raises(Unavailable, match="unloaded"):
            way.submit(request(1.0)).result(20)
        server.dataplane.load("scripted")
        assert way.submit(request(1.0)).result(20).outputs["y"].tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (InferRequest("nobody", {"x": np.ones((1, 2), np.float32)}), ModelNotFound),
        (InferRequest("scripted", {"x": np.ones((1, 2), np.float64)}), InvalidRequest),
        (InferRequest("scripted", {"x": np.ones((1, 3), np.float32)}), InvalidRequest),
        (InferRequest("scripted", {"z": np.ones((1, 2), np.float32)}), InvalidRequest),
    ],
)
def test_a_bad_request_harms_no_other(
    bad: InferRequest, error: type[Exception], folder: Any, serve: Any, script: Any, until: Any, ways: Any
) -> None:
    folder.scripted()
    server = serve(folder)
    both = ways(server)
    script.hold()
    good = [way.submit(request(5.0)) for way in both]
    script.wait_started()
    for way in both:
        with pytest.raises(error):
            way.submit(bad).result(20)
    script.release()
    for future in good:
        assert future.result(20).outputs["y"].tolist() == [[10, 10]]


def wire(body: InferRequest) -> bytes:
    data, length = http_codec.request_to_wire(body)
    head = f"POST /v2/models/{body.model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    return f"{head}{http_codec.HEADER_LENGTH}: {length}\r\n\r\n".encode() + data


def test_what_a_client_leaves_waiting_is_not_executed_when_it_is_gone(
    folder: Any, serve: Any, script: Any, until: Any, ways: Any
) -> None:
    folder.scripted(batching="")
    server = serve(folder)
    (served,) = server.dataplane.models()
    script.hold()
    first = ways(server)[0].submit(request(0.0))
    script.wait_started()
    gone = GrpcTransport(server.grpc_url.removeprefix("grpc://"))
    gone.submit(request(2.0))
    with socket.create_connection(("127.0.0.1", server.http_port)) as cut:
        cut.sendall(wire(request(3.0)))
        until(lambda: served.pending == 2)
    gone.close()
    until(lambda: served.pending == 0)
    script.release()
    assert first.result(20).outputs["y"].tolist() == [[0, 0]]
    assert script.batches == [1]


def test_connections_cut_anywhere_leave_nothing_behind(folder: Any, serve: Any, script: Any, ways: Any) -> None:
    folder.scripted()
    server = serve(folder)
    whole = wire(request(1.0))
    for sent in range(0, len(whole), 7):
        with socket.create_connection(("127.0.0.1", server.http_port)) as cut:
            cut.sendall(whole[:sent])
    for way in ways(server):
        assert way.submit(request(4.0)).result(20).outputs["y"].tolist() == [[8, 8]]
    assert server.close(drain_s=20)
