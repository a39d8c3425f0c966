from __future__ import annotations

import queue
import socket
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton

import sonic
from sonic.errors import ConfigError
from sonic.protocol.proto import health_pb2, health_pb2_grpc
from sonic.server.busypoll import BusyPoll

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 500e-6


class Loop:
    """An event loop that turns when it is told to, on a clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 10.0
        self.soon: list[Callable[[], None]] = []
        self.poll = BusyPoll(LIMIT_S, self.soon.append, lambda: self.now_s)

    def turn(self) -> None:
        """Do what is to be done soon."""
        now, self.soon[:] = list(self.soon), []
        for call in now:
            call()

    def request(self, after_s: float) -> None:
        self.now_s += after_s
        self.turn()
        self.poll.begin()
        self.poll.end()

    @property
    def awake(self) -> bool:
        return bool(self.soon)

    def requests_until_awake(self, after_s: float) -> int:
        for number in range(1, 10_000):
            self.request(after_s)
            if self.awake:
                return number
        raise AssertionError("it sleeps at once, whatever comes")


def test_it_looks_for_the_next_when_the_last_came_soon() -> None:
    loop = Loop()
    assert not loop.awake
    assert loop.requests_until_awake(300e-6) == 9  # the first comes after nothing
    for _ in range(100):
        loop.request(200e-6)
        assert loop.awake


def test_late_ones_are_not_waited_for() -> None:
    loop = Loop()
    for number in range(100):
        loop.request(300e-6 if number % 5 else 600e-6)
        assert not loop.awake


def test_it_sleeps_when_nothing_comes_and_is_slower_to_try_again() -> None:
    loop = Loop()
    needed = []
    for _ in range(12):
        needed.append(loop.requests_until_awake(300e-6))
        loop.now_s += LIMIT_S / 2
        loop.turn()
        assert loop.awake
        loop.now_s += LIMIT_S
        loop.turn()
        assert not loop.awake
    assert needed[:4] == [9, 17, 33, 65]
    assert max(needed) == 4097


def test_where_requests_come_no_sooner_it_sleeps() -> None:
    loop = Loop()
    loop.requests_until_awake(300e-6)
    for _ in range(32):
        loop.request(310e-6)
    loop.turn()
    assert not loop.awake
    assert loop.requests_until_awake(300e-6) == 16
    for _ in range(32):
        loop.request(200e-6)
    assert loop.awake


def test_while_one_is_in_hand_it_sleeps() -> None:
    loop = Loop()
    loop.requests_until_awake(300e-6)
    loop.poll.begin()
    loop.poll.begin()
    loop.turn()
    assert not loop.awake
    loop.poll.end()
    assert not loop.awake
    loop.now_s += 1.0  # however long that one takes
    loop.poll.end()
    assert loop.awake


def test_for_no_time_at_all_it_never_looks() -> None:
    soon: list[Callable[[], None]] = []
    poll = BusyPoll(0.0, soon.append, lambda: 10.0)
    for _ in range(100):
        poll.begin()
        poll.end()
    assert not soon


def test_every_request_has_an_end(folder: Any, until: Any) -> None:
    folder.identity("echo", "FP32")
    x = np.ones(4, np.float32)
    with sonic.serve(folder.path, busy_poll_us=500) as server:
        poll = server._loop.busy_poll
        with httpx.Client(base_url=server.http_url) as http:
            for path in ("/v2", "/v2/health/ready", "/nothing", "/v2/models/echo/stats"):
                http.get(path)
            for _ in range(60):
                assert http.get("/v2/models/echo").status_code == 200
            assert http.post("/v2/models/echo/infer", content=b"no JSON").status_code == 400
        client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        given = triton.InferInput("in0", [4], "FP32").set_data_from_numpy(x)
        for _ in range(60):
            np.testing.assert_array_equal(client.infer("echo", [given]).as_numpy("out0"), x)
        with pytest.raises(triton.InferenceServerException):
            client.infer("nobody", [given])
        client.close()
        with socket.create_connection(("127.0.0.1", server.http_port)) as rude:
            rude.sendall(b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
        until(lambda: poll.in_hand == 0)


def test_who_has_gone_has_nothing_in_hand(folder: Any, script: Any, until: Any) -> None:
    folder.scripted()
    with sonic.serve(folder.path, busy_poll_us=500) as server:
        poll = server._loop.busy_poll
        script.hold()
        client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        given = triton.InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
        call = client.async_infer("scripted", [given], lambda result, error: None)
        body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}'
        head = b"POST /v2/models/scripted/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", server.http_port)) as rude:
            rude.sendall(head + body)
            until(lambda: poll.in_hand == 2)
        until(lambda: poll.in_hand == 1)
        call.cancel()
        until(lambda: poll.in_hand == 0)
        client.close()
        script.release()


def test_an_open_stream_is_nothing_in_hand_until_something_comes(folder: Any, script: Any, until: Any) -> None:
    folder.scripted()
    with sonic.serve(folder.path, busy_poll_us=500) as server:
        poll = server._loop.busy_poll
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        client.start_stream(lambda result, error: answers.put(error or result))
        given = triton.InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            next(watch)
            for _ in range(60):
                client.async_stream_infer("scripted", [given])
                assert answers.get(timeout=10).as_numpy("y").tolist() == [[2, 2]]
            until(lambda: poll.in_hand == 0)
            script.hold()
            client.async_stream_infer("scripted", [given])
            script.wait_started()
            until(lambda: poll.in_hand == 1)
            script.release()
            answers.get(timeout=10)
            until(lambda: poll.in_hand == 0)
            client.stop_stream()
        client.close()
        until(lambda: poll.in_hand == 0)


def test_less_than_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--busy-poll-us is at least 0, given -1"):
        sonic.serve(tmp_path, busy_poll_us=-1)
