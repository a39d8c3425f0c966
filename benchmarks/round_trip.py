"""Events/s with 10, 60 and 150 ms of round trip between job and server, over events/s with none.

All go through the same relay, which holds bytes back but does not limit their rate, and nothing through shared memory.
Asynchronous offloads need enough streams to have work while answers travel: how many, is tried out. The synchronous
mode stands beside them to show what waiting costs. First with a job of one thread whose modules take fixed times, 10 ms
before its offload and 10 ms after: where other work shares the machine, this one tells. Then with `miniaod`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from common import ROOT, Figure, echo_models, run_job, sample
from sonic.client.fallback import ServeProcess
from sonic.framework import Offload, Producer, Workflow
from sonic.framework.job import run
from sonic.study.conditions import Conditions, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

STREAMS = {0.0: (8,), 0.010: (2, 4, 8), 0.060: (4, 8, 16), 0.150: (8, 16, 32)}
GOAL = 0.95
SYNC_AT_S = 0.060
JOB = ("--repeat", 20, "--chunk-size", 1, "--threads", 1, "--no-fallback")
WIRE = {"SONIC_CLIENT_SHARED_MEMORY": "never"}
"""The server is far away only as far as the relay goes."""


PACE_S = 0.010
PACED_EVENTS = 150
PACED_STREAMS = {0.0: (16,), 0.010: (2, 4), 0.060: (2, 4, 6, 8), 0.150: (8, 10, 12, 16)}


class Before(Producer):
    """Takes its time, but no processor."""

    consumes = ("event",)
    produces = ("before",)

    def produce(self, events: ak.Array) -> Mapping[str, Any]:
        """Wait."""
        time.sleep(PACE_S)
        return {"before": ak.to_numpy(events.event) % 7}


class Away(Offload):
    """What the server does takes no time, but the way there."""

    model = "echo"
    consumes = ("before",)
    produces = ("there",)

    def acquire(self, events: ak.Array) -> Mapping[str, Any]:
        """One number an event."""
        return {"x": np.asarray(events.before, np.float32)}

    def produce(self, events: ak.Array, outputs: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 - the contract's
        """Take it."""
        return {"there": outputs["y"]}


class After(Producer):
    """As :class:`Before`."""

    consumes = ("there",)
    produces = ("after",)

    def produce(self, events: ak.Array) -> Mapping[str, Any]:
        """Wait."""
        time.sleep(PACE_S)
        return {"after": ak.to_numpy(events.there)}


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each round trip and number of streams, and for the synchronous mode."""
    with echo_models() as models:
        yield from _compared("paced", models, _paced, PACED_STREAMS, repeats, console)
    yield from _compared("miniaod", ROOT / "src/sonic/workloads/models", _miniaod, STREAMS, repeats, console)


def _paced(url: str, mode: str, streams: int) -> float:
    workflow = Workflow("paced", [Before(), Away(), After()])
    options = {"chunk_size": 1, "threads": 1, "streams": streams, "offload_mode": mode, "fallback": False}
    inputs = [str(sample())]
    events = run(workflow, inputs, servers=[url], **options).events  # type: ignore[arg-type]
    repeat = max(1, PACED_EVENTS // events)
    return run(workflow, inputs, servers=[url], repeat=repeat, **options).events_per_s  # type: ignore[arg-type]


def _miniaod(url: str, mode: str, streams: int) -> float:
    job = run_job("--server", url, "--offload", mode, "--streams", streams, *JOB, environment=WIRE)
    return job.events_per_s


def _compared(
    name: str,
    models: Path,
    rate: Callable[[str, str, int], float],
    tried: Mapping[float, tuple[int, ...]],
    repeats: int,
    console: Console,
) -> Iterator[Figure]:
    cases = [("async", streams, rtt_s) for rtt_s, several in tried.items() for streams in several]
    cases += [("sync", 1, 0.0), ("sync", 1, SYNC_AT_S)]
    rates: dict[tuple[str, int, float], list[float]] = {case: [] for case in cases}
    with ExitStack() as stack:
        server = stack.enter_context(ServeProcess([models]))
        host, port = server.grpc_url.removeprefix("grpc://").split(":")
        lines = {
            rtt_s: stack.enter_context(Relay(host, int(port), Conditions(round_trip_ms=rtt_s * 1e3))) for rtt_s in tried
        }
        for number in range(repeats):
            # There and back, so that what changes on the machine in the meantime falls on none alone.
            for mode, streams, rtt_s in cases if number % 2 else cases[::-1]:
                events_per_s = rate(f"grpc://{lines[rtt_s].address}", mode, streams)
                rates[mode, streams, rtt_s].append(events_per_s)
                console.print(f"{name}, {mode}, {rtt_s * 1e3:.0f} ms, {streams} streams: {events_per_s:.1f} events/s")

    near = rates["async", tried[0.0][0], 0.0]
    for rtt_s, several in tried.items():
        if not rtt_s:
            continue
        ratios = {
            streams: [far / there for far, there in zip(rates["async", streams, rtt_s], near, strict=True)]
            for streams in several
        }
        needed = next((streams for streams in several if median(ratios[streams]) >= GOAL), None)
        enough = needed or f"more than {several[-1]}"
        console.print(f"{name}, {rtt_s * 1e3:.0f} ms: {enough} streams for {GOAL:g} of none")
        for streams in several:
            goal = GOAL if streams == (needed or several[-1]) else None
            yield Figure.of(
                f"{name}, {rtt_s * 1e3:.0f} ms / none, async, {streams} streams", ratios[streams], goal=goal
            )
    both = zip(rates["sync", 1, SYNC_AT_S], rates["sync", 1, 0.0], strict=True)
    yield Figure.of(f"{name}, {SYNC_AT_S * 1e3:.0f} ms / none, sync, 1 stream", [far / there for far, there in both])
