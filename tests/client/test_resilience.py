"""Real servers that die, freeze and come back under a client."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.client.fallback import ServeProcess
from sonic.client.model import Client
from sonic.client.settings import ClientSettings
from sonic.testing.conformance import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = ClientSettings(silence_s=0.5)
X = np.ones((2, 3), np.float32)
N = np.arange(2).reshape(2, 1)


@pytest.fixture
def pair(models: Path) -> Iterator[tuple[ServeProcess, ServeProcess]]:
    with ServeProcess([models]) as first, ServeProcess([models]) as second:
        yield first, second


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
    with Client(urls, timeout_s=timeout_s, settings=QUICK) as client:
        try:
            call_many(client, 60, 30, lambda: os.kill(pair[0].pid, signal.SIGSTOP))
            assert client.servers()[0].failed
        finally:
            os.kill(pair[0].pid, signal.SIGCONT)


def test_the_fallback_takes_over_from_a_frozen_server(models: Path) -> None:
    with (
        ServeProcess([models]) as process,
        Client([process.grpc_url], fallback=models, settings=ClientSettings(silence_s=0.5, backoff_s=0.01)) as client,
    ):
        try:
            call_many(client, 10, 5, lambda: os.kill(process.pid, signal.SIGSTOP))
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
