"""Real servers that die, freeze and come back under a client."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

import sonic
from sonic.client.fallback import ServeProcess
from sonic.client.model import Client
from sonic.client.settings import ClientSettings
from sonic.errors import Unavailable
from sonic.server.dataplane import Dataplane
from sonic.testing.conformance import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.server.app import Server

QUICK = ClientSettings(silence_s=0.5)
X = np.ones((2, 3), np.float32)
N = np.arange(2).reshape(2, 1)


@pytest.fixture
def pair(models: Path) -> Iterator[tuple[ServeProcess, ServeProcess]]:
    with ServeProcess([models]) as first, ServeProcess([models]) as second:
        yield first, second


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        pass


def call_many(client: Client, count: int, at: int, event: object) -> None:
    """Send requests, do something in the middle of them, and make sure that each one has its own answer."""
    model = client.model("echo")
    assert model.spec
    futures = []
    for number in range(count):
        if number == at:
            event()  # type: ignore[operator]
        futures.append(model.submit(x=X * number, n=N))
    for number, future in enumerate(futures):
        assert np.array_equal(future.result(WAIT_S)["y"], X * number)
    assert all(state.outstanding == 0 for state in client.servers())


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_is_killed(pair: tuple[ServeProcess, ServeProcess], scheme: str) -> None:
    urls = [getattr(process, f"{scheme}_url") for process in pair]
    with Client(urls, settings=QUICK) as client:
        call_many(client, 200, 100, lambda: os.kill(pair[0].pid, signal.SIGKILL))


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_a_server_that_is_frozen(pair: tuple[ServeProcess, ServeProcess], scheme: str, timeout_s: float | None) -> None:
    urls = [getattr(process, f"{scheme}_url") for process in pair]
    settings = ClientSettings(silence_s=0.5, preferred=(urls[0],))
    with Client(urls, timeout_s=timeout_s, settings=settings) as client:
        try:
            call_many(client, 60, 30, lambda: freeze(pair[0].pid))
            assert client.servers()[0].failed
        finally:
            os.kill(pair[0].pid, signal.SIGCONT)


def test_the_fallback_takes_over_from_a_frozen_server(models: Path) -> None:
    with (
        ServeProcess([models]) as process,
        Client([process.grpc_url], fallback=models, settings=ClientSettings(silence_s=0.5, backoff_s=0.01)) as client,
    ):
        try:
            call_many(client, 10, 5, lambda: freeze(process.pid))
        finally:
            os.kill(process.pid, signal.SIGCONT)


def test_a_black_hole(models: Path) -> None:
    # A listener that accepts nothing: the kernel completes the connection, and no byte ever comes back.
    with socket.create_server(("127.0.0.1", 0)) as hole, ServeProcess([models]) as process:
        port = hole.getsockname()[1]
        for scheme in ("grpc", "http"):
            urls = [f"{scheme}://127.0.0.1:{port}", getattr(process, f"{scheme}_url")]
            with Client(urls, settings=QUICK) as client:
                call_many(client, 20, 0, lambda: None)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_says_goodbye_and_comes_back_on_the_same_port(models: Path, free_port: int, scheme: str) -> None:
    ports = {f"{scheme}_port": free_port}
    settings = ClientSettings(chain=("again",) * 8, silence_s=1.0)
    server = sonic.serve(models, **ports)
    try:
        with Client([f"{scheme}://127.0.0.1:{free_port}"], settings=settings) as client:
            model = client.model("echo")
            assert np.array_equal(model(x=X, n=N)["y"], X)
            server.close()
            waiting = model.submit(x=X * 2, n=N)
            server = sonic.serve(models, **ports)
            assert np.array_equal(waiting.result(WAIT_S)["y"], X * 2)
            call_many(client, 20, 0, lambda: None)
    finally:
        server.close()


class Garbage:
    """Answers everything with bytes that mean nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                connection.sendall(bytes(range(256)) * 16)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_server_that_answers_garbage(server: Server, scheme: str) -> None:
    garbage = Garbage()
    try:
        urls = [f"{scheme}://127.0.0.1:{garbage.port}", getattr(server, f"{scheme}_url")]
        with Client(urls, settings=QUICK) as client:
            call_many(client, 50, 0, lambda: None)
    finally:
        garbage.close()


@pytest.mark.interpreted
def test_a_server_that_refuses_half_of_its_requests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClientSettings(chain=("again",) * 12, backoff_s=0.001, silence_s=1.0)
    refused = count()
    infer = Dataplane.infer

    def half(self: Dataplane, request: InferRequest, **named: bool) -> Future[InferResponse]:
        if next(refused) % 2:
            full: Future[InferResponse] = Future()
            full.set_exception(Unavailable("full"))
            return full
        return infer(self, request, **named)

    monkeypatch.setattr(Dataplane, "infer", half)
    with Client([server.grpc_url], settings=settings) as client:
        call_many(client, 100, 0, lambda: None)
        assert client.servers()[0].failed
