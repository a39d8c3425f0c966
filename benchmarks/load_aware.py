"""Requests/s over four servers of which one is ten times slower, over those of the best possible split.

The best possible is what all four reach together when each is kept busy on its own, or, where requests in flight are
too few for that, what a choice reaches that knows each server's speed beforehand and all that it has to do. First with
servers that serve real requests one at a time, 10 ms each and 100 ms; then on virtual time, with times a request fixed
or drawn at random, for one client and for four that know nothing of each other.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle, repeat
from pathlib import Path
from random import Random
from threading import Semaphore
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import sonic
from common import Figure
from sonic.study.simulation.run import simulate
from sonic.study.simulation.specfile import unfold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from rich.console import Console

    from sonic.client.model import Client

FAST_S, SLOW_S = 0.010, 0.100
SERVERS = {"a": FAST_S, "b": FAST_S, "c": FAST_S, "d": SLOW_S}
IN_FLIGHT = (4, 16, 64)
SPELL_S = 3.0
SIMULATED_S = 20.0
GOAL = 0.9
_INPUT = np.zeros((1, 1), np.float32)

_CONFIG = """
    backend: "python"
    max_batch_size: 1
    input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
    output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
_MODEL = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep({service_s} * len(requests))
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(r, "x").as_numpy())])
            for r in requests
        ]
"""


class Chooser(Protocol):
    """Names the server of each request."""

    def choose(self) -> str:
        """Name it."""

    def ended(self, server: str) -> None:
        """Take note that one ended."""


class Knowing:
    """The server that will be done first, by true speeds and by what has been sent there."""

    def __init__(self, service_s: Mapping[str, float]) -> None:
        self._service_s = service_s
        self._outstanding = dict.fromkeys(service_s, 0)

    def choose(self) -> str:
        """Name it, and count what is sent to it."""
        server = min(self._service_s, key=lambda server: (self._outstanding[server] + 1) * self._service_s[server])
        self._outstanding[server] += 1
        return server

    def ended(self, server: str) -> None:
        """Count it no more."""
        self._outstanding[server] -= 1


class Drawn:
    """Servers as an iterator gives them, whatever they do."""

    def __init__(self, servers: Iterator[str]) -> None:
        self._servers = servers

    def choose(self) -> str:
        """Name the next one."""
        return next(self._servers)

    def ended(self, server: str) -> None:
        """Take no notice."""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratios: Sonic's choice, and beside it round robin and random."""
    with ExitStack() as stack:
        urls = [stack.enter_context(_server(service_s)) for service_s in SERVERS.values()]
        client = stack.enter_context(sonic.Client(urls))
        alone = [stack.enter_context(sonic.Client([url])) for url in urls]
        for in_flight in IN_FLIGHT:
            yield from _served(client, alone, in_flight, repeats, console)
    for delay_s in (0.0, 0.06):
        for drawn in (False, True):
            for clients, in_flight in ((1, 16), (4, 16)):
                yield from _simulated(clients, in_flight, delay_s, repeats, drawn=drawn)


def _served(client: Client, alone: list[Client], in_flight: int, repeats: int, console: Console) -> Iterator[Figure]:
    models = dict(zip(SERVERS, (client.model("m") for client in alone), strict=True))
    together = client.model("m")

    def by(chooser: Chooser) -> Callable[[], Future[Any]]:
        def send() -> Future[Any]:
            server = chooser.choose()
            future = models[server].submit(x=_INPUT)
            future.add_done_callback(lambda _: chooser.ended(server))
            return future

        return send

    ways = {
        "Sonic": lambda: together.submit(x=_INPUT),
        "round robin": by(Drawn(cycle(SERVERS))),
        "random": by(Drawn(iter(partial(Random(5).choice, list(SERVERS)), None))),
    }
    for model in (*models.values(), together):
        _ = model.spec
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        busy = sum(_rate(by(Drawn(repeat(server))), 4) for server in SERVERS)
        best = min(busy, _rate(by(Knowing(SERVERS)), in_flight))
        told = []
        for name, way in ways.items():
            rate = _rate(way, in_flight)
            ratios[name].append(rate / best)
            told.append(f"{name} {rate:.0f}")
        console.print(f"{in_flight} in flight: {', '.join(told)} requests/s, {best:.0f} at best")
    for name, values in ratios.items():
        goal = GOAL if name == "Sonic" else None
        yield Figure.of(f"served, {in_flight} in flight: {name} / best", values, goal=goal)


def _rate(send: Callable[[], Future[Any]], in_flight: int) -> float:
    """Return answers a second, so many requests being on their way at any time; the last of them do not count."""
    free = Semaphore(in_flight)
    futures: list[Future[Any]] = []
    began_s = perf_counter()
    until_s, answered_s, answered = began_s + SPELL_S, began_s, 0

    def ended(_: Future[Any]) -> None:
        nonlocal answered, answered_s
        now_s = perf_counter()
        if now_s < until_s:
            answered, answered_s = answered + 1, now_s
        free.release()

    while perf_counter() < until_s:
        free.acquire()
        future = send()
        future.add_done_callback(ended)
        futures.append(future)
    for future in futures:
        future.result()
    return answered / (answered_s - began_s)


def _simulated(clients: int, in_flight: int, delay_s: float, repeats: int, *, drawn: bool) -> Iterator[Figure]:
    fast, network = sum(took_s == FAST_S for took_s in SERVERS.values()), {"round_trip_ms": 1e3 * delay_s}
    distribution = "exponential" if drawn else "lognormal"
    tree = {
        "target": "one of four ten times slower",
        "models": {"m": {"service": {"execution_s": FAST_S, "distribution": distribution}, "max_queue": 0}},
        "servers": [{"count": fast, "network": network}, {"speed": FAST_S / SLOW_S, "network": network}],
        "clients": {"number": clients, "in_flight": in_flight},
        "window_s": SIMULATED_S,
        "repeats": 1,
    }

    def rates(policy: str | None) -> list[float]:
        balanced = tree | ({} if policy is None else {"balancer": {"policy": policy}})
        found = []
        for seed in range(repeats):
            ((settings, spec),) = unfold(balanced | {"seed": seed}, "load_aware")
            throughput = simulate(spec, settings).throughput
            assert throughput is not None
            found.append(throughput.value)
        return found

    best = rates("shortest_delay")

    def ratios(policy: str | None) -> list[float]:
        return [rate / most for rate, most in zip(rates(policy), best, strict=True)]

    what = f"{clients} x {in_flight} in flight, {delay_s * 1000:.0f} ms away, times {'drawn' if drawn else 'fixed'}"
    yield Figure.of(f"simulated, {what}: Sonic / best", ratios(None), goal=GOAL)
    yield Figure.of(f"simulated, {what}: round robin / best", ratios("round_robin"))
    yield Figure.of(f"simulated, {what}: random / best", ratios("random"))


@contextmanager
def _server(service_s: float) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "m" / "1"
        place.mkdir(parents=True)
        (place / "model.py").write_text(_MODEL.format(service_s=service_s))
        (place.parent / "config.pbtxt").write_text(_CONFIG)
        with sonic.serve(folder) as server:
            yield server.grpc_url
