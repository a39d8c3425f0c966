"""Requests/s over four servers of which one is ten times slower, over those of the best possible split.

The best possible is what all four reach together when each is kept busy on its own, or, where requests in flight are
too few for that, what a choice reaches that knows each server's speed beforehand and all that it has to do. First with
servers that serve real requests one at a time, 10 ms each and 100 ms; then on virtual time, with times a request fixed
or drawn at random, for one client and for four that know nothing of each other.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from threading import Semaphore
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import sonic
from common import Figure
from sonic.client.pool import Pool
from sonic.testing.loadsim import RoundRobin, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from rich.console import Console

    from sonic.client.model import Client
    from sonic.testing.loadsim import Chooser

FAST_S, SLOW_S = 0.010, 0.100
SERVERS = {"a": FAST_S, "b": FAST_S, "c": FAST_S, "d": SLOW_S}
IN_FLIGHT = (4, 16, 64)
SPELL_S = 3.0
SIMULATED = 5000
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


class Knowing:
    """The server that will be done first, by true speeds and by what all clients together have sent there."""

    def __init__(self, service_s: Mapping[str, float], outstanding: dict[str, int]) -> None:
        self._service_s = service_s
        self._outstanding = outstanding

    def choose(self, now_s: float) -> str | None:  # noqa: ARG002 - as the port has it
        """Name it."""
        return min(self._service_s, key=lambda server: (self._outstanding[server] + 1) * self._service_s[server])

    def sent(self, server: str) -> int:
        """Count it."""
        self._outstanding[server] += 1
        return 1

    def done(self, server: str, now_s: float, *, failed: bool | None, took_s: float | None, among: int) -> None:  # noqa: ARG002
        """Count it no more."""
        self._outstanding[server] -= 1


class AtRandom:
    """Any server, whatever it does."""

    def __init__(self, servers: Sequence[str], random: Random) -> None:
        self._servers = servers
        self._random = random

    def choose(self, now_s: float) -> str | None:  # noqa: ARG002 - as the port has it
        """Name one."""
        return self._random.choice(self._servers)

    def sent(self, server: str) -> int:  # noqa: ARG002
        """Take no notice."""
        return 1

    def done(self, server: str, now_s: float, *, failed: bool | None, took_s: float | None, among: int) -> None:
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


def _served(
    client: Client, alone: Sequence[Client], in_flight: int, repeats: int, console: Console
) -> Iterator[Figure]:
    models = dict(zip(SERVERS, (client.model("m") for client in alone), strict=True))
    together = client.model("m")

    def by(chooser: Chooser) -> Callable[[], Future[Any]]:
        def send() -> Future[Any]:
            server = chooser.choose(0.0)
            assert server is not None
            chooser.sent(server)
            future = models[server].submit(x=_INPUT)
            future.add_done_callback(lambda _: chooser.done(server, 0.0, failed=False, took_s=None, among=1))
            return future

        return send

    ways = {
        "Sonic": lambda: together.submit(x=_INPUT),
        "round robin": by(RoundRobin(list(SERVERS))),
        "random": by(AtRandom(list(SERVERS), Random(5))),
    }
    for model in (*models.values(), together):
        _ = model.spec
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        busy = sum(_rate(by(AtRandom([server], Random(0))), 4) for server in SERVERS)
        best = min(busy, _rate(by(Knowing(SERVERS, dict.fromkeys(SERVERS, 0))), in_flight))
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
    capacity = sum(1 / service_s for service_s in SERVERS.values())
    busy_s = clients * SIMULATED / capacity
    names = list(SERVERS)

    def took_s(make: Callable[[int], Chooser]) -> list[float]:
        return [
            simulate(
                [make(100 * seed + number) for number in range(clients)],
                SERVERS,
                SIMULATED,
                in_flight,
                delay_s=delay_s,
                random=Random(seed) if drawn else None,
            ).took_s
            for seed in range(repeats)
        ]

    outstanding = dict.fromkeys(SERVERS, 0)  # of which nothing is left at the end of a simulation
    best_s = [max(busy_s, took) for took in took_s(lambda _: Knowing(SERVERS, outstanding))]

    def ratios(make: Callable[[int], Chooser]) -> list[float]:
        return [best / took for best, took in zip(best_s, took_s(make), strict=True)]

    what = f"{clients} x {in_flight} in flight, {delay_s * 1000:.0f} ms away, times {'drawn' if drawn else 'fixed'}"
    yield Figure.of(f"simulated, {what}: Sonic / best", ratios(lambda _: Pool(names)), goal=GOAL)
    yield Figure.of(f"simulated, {what}: round robin / best", ratios(lambda _: RoundRobin(names)))
    yield Figure.of(f"simulated, {what}: random / best", ratios(lambda seed: AtRandom(names, Random(seed))))


@contextmanager
def _server(service_s: float) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "m" / "1"
        place.mkdir(parents=True)
        (place / "model.py").write_text(_MODEL.format(service_s=service_s))
        (place.parent / "config.pbtxt").write_text(_CONFIG)
        with sonic.serve(folder) as server:
            yield server.grpc_url
