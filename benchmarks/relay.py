"""Rates through the relay that stands for a network, over those without it; what it carries, and its processor time.

The relay has no conditions, so that nothing but its own work holds anything up. A model gives back what it is sent,
sixteen requests are in flight, and none goes through shared memory. Relay and client share a process, as in a scan of
few clients: where it says that the relay's thread is busy, it is what is measured. With a bandwidth, what arrives of it
is its accuracy; with a round trip, what a request of one byte takes, over what it should.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

import sonic
from common import Figure, echo_models
from sonic.client.fallback import ServeProcess
from sonic.client.settings import ClientSettings
from sonic.study.conditions import Conditions, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from sonic.client.model import Model

SIZES = {"1 kB": 1_000, "100 kB": 100_000, "1 MB": 1_000_000}
IN_FLIGHT = 16
WINDOW_S = 1.0
MBPS = 200
ROUND_TRIPS_MS = (2, 10)
GOALS = {2: 1.15, 10: 1.05}


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratios."""
    with echo_models() as models, ServeProcess([models]) as server:
        host, port = server.grpc_url.removeprefix("grpc://").split(":")
        for size, n_bytes in SIZES.items():
            yield _carried(host, int(port), size, n_bytes, repeats, console)
        yield _bandwidth(host, int(port), repeats)
    for round_trip_ms in ROUND_TRIPS_MS:
        found = [_round_trip_s(round_trip_ms) * 1e3 / round_trip_ms for _ in range(repeats)]
        yield Figure.of(f"round trip / {round_trip_ms} ms", found, goal=GOALS[round_trip_ms], at_most=True)


def _model(address: str) -> Model:
    return sonic.Model(f"grpc://{address}/echo", settings=ClientSettings(shared_memory="never"))


def _carried(host: str, port: int, size: str, n_bytes: int, repeats: int, console: Console) -> Figure:
    ratios = []
    with (
        Relay(host, port, Conditions()) as relay,
        _model(f"{host}:{port}") as direct,
        _model(relay.address) as relayed,
    ):
        for _ in range(repeats):
            near = _rate(direct, n_bytes)
            cpu_s = relay.cpu_s
            far = _rate(relayed, n_bytes)
            cpu_s = relay.cpu_s - cpu_s
            ratios.append(far / near)
            console.print(
                f"{size}: {near:.0f} requests/s without, {far:.0f} with, which is {2 * far * n_bytes / 1e6:.0f} MB/s "
                f"there and back; the relay's thread takes {cpu_s / WINDOW_S / far * 1e6:.0f} us a request"
            )
    return Figure.of(f"requests/s with the relay / without, {size} each way", ratios)


def _rate(model: Model, n_bytes: int) -> float:
    x = np.zeros(n_bytes // 4, np.float32)
    model(x=x)
    done, begin_s = 0, time.perf_counter()
    waiting = deque(model.submit(x=x) for _ in range(IN_FLIGHT))
    while time.perf_counter() - begin_s < WINDOW_S:
        waiting.popleft().result()
        done += 1
        waiting.append(model.submit(x=x))
    took_s = time.perf_counter() - begin_s
    for future in waiting:
        future.result()
    return done / took_s


def _bandwidth(host: str, port: int, repeats: int) -> Figure:
    with Relay(host, port, Conditions(bandwidth_mbps=MBPS)) as relay, _model(relay.address) as model:
        found = [_rate(model, SIZES["100 kB"]) * SIZES["100 kB"] * 8e-6 / MBPS for _ in range(repeats)]
    return Figure.of(f"bandwidth / {MBPS} Mbit/s", found, goal=0.95)


def _round_trip_s(round_trip_ms: float) -> float:
    """Median of a hundred, of one byte that a thread of this process sends back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def echo() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(1):
                    connection.sendall(data)

        threading.Thread(target=echo, daemon=True).start()
        with (
            Relay("127.0.0.1", listener.getsockname()[1], Conditions(round_trip_ms)) as relay,
            socket.create_connection(("127.0.0.1", relay.port)) as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            took_s = []
            for _ in range(101):
                begin_s = time.perf_counter()
                connection.sendall(b"x")
                connection.recv(1)
                took_s.append(time.perf_counter() - begin_s)
    return median(took_s[1:])
