"""Events/s of `miniaod` with 10, 60 and 150 ms of round trip between job and server, over events/s with none.

All go through the same relay, which holds bytes back but does not limit their rate, and nothing through shared memory.
Asynchronous offloads need enough streams to have work while answers travel: how many, is tried out. The synchronous
mode stands beside them to show what waiting costs.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

from common import ROOT, Figure, run_job
from sonic.client.fallback import ServeProcess
from sonic.testing.network import DelayProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

STREAMS = {0.0: (8,), 0.010: (2, 4, 8), 0.060: (4, 8, 16), 0.150: (8, 16, 32)}
GOAL = 0.95
SYNC_AT_S = 0.060
JOB = ("--repeat", 20, "--chunk-size", 1, "--threads", 1, "--no-fallback")
WIRE = {"SONIC_CLIENT_SHARED_MEMORY": "never"}
"""The server is far away only as far as the relay goes."""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each round trip and number of streams, and for the synchronous mode."""
    cases = [("async", streams, rtt_s) for rtt_s, several in STREAMS.items() for streams in several]
    cases += [("sync", 1, 0.0), ("sync", 1, SYNC_AT_S)]
    rates: dict[tuple[str, int, float], list[float]] = {case: [] for case in cases}
    with ExitStack() as stack:
        server = stack.enter_context(ServeProcess([ROOT / "src" / "sonic" / "workloads" / "models"]))
        host, port = server.grpc_url.removeprefix("grpc://").split(":")
        lines = {rtt_s: stack.enter_context(DelayProxy(host, int(port), round_trip_s=rtt_s)) for rtt_s in STREAMS}
        for number in range(repeats):
            # There and back, so that what changes on the machine in the meantime falls on none alone.
            for mode, streams, rtt_s in cases if number % 2 else cases[::-1]:
                url = f"grpc://{lines[rtt_s].address}"
                job = run_job("--server", url, "--offload", mode, "--streams", streams, *JOB, environment=WIRE)
                rates[mode, streams, rtt_s].append(job.events_per_s)
                console.print(f"{mode}, {rtt_s * 1e3:.0f} ms, {streams} streams: {job.events_per_s:.1f} events/s")

    near = rates["async", STREAMS[0.0][0], 0.0]
    for rtt_s, several in STREAMS.items():
        if not rtt_s:
            continue
        ratios = {
            streams: [far / there for far, there in zip(rates["async", streams, rtt_s], near, strict=True)]
            for streams in several
        }
        needed = next((streams for streams in several if median(ratios[streams]) >= GOAL), None)
        console.print(f"{rtt_s * 1e3:.0f} ms: {needed or f'more than {several[-1]}'} streams for {GOAL:g} of none")
        for streams in several:
            goal = GOAL if streams == (needed or several[-1]) else None
            yield Figure.of(f"{rtt_s * 1e3:.0f} ms / none, async, {streams} streams", ratios[streams], goal=goal)
    both = zip(rates["sync", 1, SYNC_AT_S], rates["sync", 1, 0.0], strict=True)
    yield Figure.of(f"{SYNC_AT_S * 1e3:.0f} ms / none, sync, 1 stream", [far / there for far, there in both])
