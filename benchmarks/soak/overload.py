"""Three times as many requests as a server can execute: it goes on executing, and refuses the rest at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.messages import InferRequest

from .marks import Mark, Part
from .models import WORK
from .probes import RIGHT, Probe
from .tally import Durations, Tally
from .wire import Failure, GrpcWire, HttpWire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .server import Figures, Serve
    from .wire import Wire

FACTOR = 3.0
"""Load over capacity."""
LEAST_GOODPUT = 0.9
"""Of the capacity."""
REFUSED_MS = {0.5: 10.0, 0.99: 100.0}
"""Within so many milliseconds this share of the refused requests is to be answered."""
_REFUSED = "Unavailable"
_IN_HAND = 16  # requests under way while the capacity is measured


@dataclass(frozen=True)
class _Round:
    capacity_per_s: float
    capacity_cpu_ms: float  # of the server, for each answer
    goodput_per_s: float
    goodput_cpu_ms: float


def overload(
    server: Serve,
    *,
    seconds: float,
    max_queue: int,
    seed: int,
    show: Callable[[str, int, int, Figures], None],
) -> Part:
    """Measure the capacity of a server, and what it does with three times as much.

    The median of the rounds' ratios counts, of which there are up to three, of four seconds or more.

    Parameters
    ----------
    server : Serve
        With the model :data:`benchmarks.soak.models.WORK`.
    seconds : float
        In all; in each round a quarter for the capacity, as the machine's other work lets it be just then.
    max_queue : int
        Requests that may wait, as the server was told.
    seed : int
    show : callable
        See :func:`benchmarks.soak.mixed.mixed`.
    """
    rounds = max(1, min(3, int(seconds / 4)))
    return asyncio.run(_overload(server, seconds / rounds, max_queue, seed, show, rounds))


async def _overload(
    server: Serve,
    round_s: float,
    max_queue: int,
    seed: int,
    show: Callable[[str, int, int, Figures], None],
    rounds: int,
) -> Part:
    random = np.random.default_rng(seed)
    wires: list[Wire] = [GrpcWire(server.grpc), GrpcWire(server.grpc), HttpWire(server.http, connections=2000)]
    wires.append(wires[-1])  # as many requests over HTTP as over gRPC
    load = _Load(wires, random)
    measured: list[_Round] = []
    depths: list[int] = []
    try:
        await load.closed(min(1.0, round_s / 4))  # connections, threads and caches
        for _ in range(rounds):
            start_s, right = server.cpu_s(), load.right
            capacity = await load.closed(round_s / 4)
            middle_s, middle = server.cpu_s(), load.right
            watching = asyncio.create_task(_watch(server, depths))
            goodput = await load.open(3 * round_s / 4, FACTOR * capacity)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching  # which fails if the metrics could not be read
            capacity_ms = 1000 * (middle_s - start_s) / max(1, middle - right)
            goodput_ms = 1000 * (server.cpu_s() - middle_s) / max(1, load.right - middle)
            measured.append(_Round(capacity, capacity_ms, goodput, goodput_ms))
            show("overload", load.tally.total, load.tally.wrong, server.figures())
    finally:
        for wire in wires[:3]:
            await wire.close()
    return _part(load, measured, depths, max_queue)


def _part(load: _Load, measured: Sequence[_Round], depths: Sequence[int], max_queue: int) -> Part:
    part = Part("overload", tally=load.tally, notes=[*load.tally.texts])
    ratio = median(each.goodput_per_s / each.capacity_per_s for each in measured)
    refused_ms = {share: 1000 * load.refused.quantile_s(share) for share in REFUSED_MS}
    part.marks = [
        Mark.at_least("goodput under three times the load / capacity", ratio, LEAST_GOODPUT),
        Mark.at_least(
            "processor time of the server for an answer, at capacity / then",
            median(each.capacity_cpu_ms / each.goodput_cpu_ms for each in measured if each.goodput_cpu_ms),
            LEAST_GOODPUT,
        ),
        Mark.at_least("requests refused", load.refused.buckets.total(), 1),
        *(
            Mark.at_most(f"refused within, {share:.0%} of them", refused_ms[share], goal, " ms")
            for share, goal in REFUSED_MS.items()
        ),
        Mark(
            "requests waiting in the queue, at most",
            str(max(depths, default=0)),
            f"1 to {max_queue}",
            1 <= max(depths, default=0) <= max_queue,  # with none the metrics say nothing of it
        ),
        Mark.none("requests wrong, lost, or another's answer", load.tally.wrong),
    ]
    part.details = {
        "capacity_per_s": [round(each.capacity_per_s, 1) for each in measured],
        "goodput_per_s": [round(each.goodput_per_s, 1) for each in measured],
        "server_cpu_ms_per_answer_at_capacity": [round(each.capacity_cpu_ms, 2) for each in measured],
        "server_cpu_ms_per_answer_in_overload": [round(each.goodput_cpu_ms, 2) for each in measured],
        "accepted_median_ms": round(1000 * load.accepted.quantile_s(0.5), 1),
        "refused_ms": {f"{share:g}": round(value, 2) for share, value in refused_ms.items()},
        "deepest_queue": max(depths, default=0),
    }
    return part


async def _watch(server: Serve, depths: list[int]) -> None:
    while True:
        depths.append(await asyncio.to_thread(server.pending, WORK))
        await asyncio.sleep(0.1)


class _Load:
    def __init__(self, wires: Sequence[Wire], random: np.random.Generator) -> None:
        self._wires = wires
        self._random = random
        self._asked = 0
        self.right = 0
        self.tally = Tally()
        self.accepted = Durations()
        self.refused = Durations()

    async def closed(self, seconds: float) -> float:
        """Keep a few requests under way, and return how many end well a second."""
        until_s = time.perf_counter() + seconds
        before = self.right

        async def lane(wire: Wire) -> None:
            while time.perf_counter() < until_s:
                await self._ask(wire, "closed loop", frozenset())

        start_s = time.perf_counter()
        await asyncio.gather(*(lane(self._wires[number % 4]) for number in range(_IN_HAND)))
        return (self.right - before) / (time.perf_counter() - start_s)

    async def open(self, seconds: float, rate_per_s: float) -> float:
        """Send requests whatever becomes of the others, and return how many end well a second."""
        start_s = due_s = time.perf_counter()
        under_way: set[asyncio.Task[None]] = set()
        before = self.right
        number = 0
        while (due_s := due_s + self._random.exponential(1 / rate_per_s)) < start_s + seconds:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            task = asyncio.create_task(self._ask(self._wires[number % 4], "open loop", frozenset({_REFUSED})))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        goodput = (self.right - before) / (time.perf_counter() - start_s)
        await asyncio.gather(*under_way)
        return goodput

    async def _ask(self, wire: Wire, kind: str, errors: frozenset[str]) -> None:
        self._asked += 1
        x = np.array([self._random.integers(1 << 22)], np.float32)
        probe = Probe(kind, InferRequest(WORK, {"x": x}, id=f"w{self._asked}"), {"y": x}, errors)
        start_s = time.perf_counter()
        try:
            outcome, text = probe.judge(await wire.infer(probe.request))
        except Failure as failure:
            outcome, text = probe.judge_error(failure.name, failure.text)
        took_s = time.perf_counter() - start_s
        self.right += outcome == RIGHT
        if errors:
            {RIGHT: self.accepted, _REFUSED: self.refused}.get(outcome, Durations()).add(took_s)
        self.tally.add(kind, wire.name, outcome, text, took_s)
