"""Events/s of `miniaod` with 60 ms of round trip between job and server, over events/s with none.

Both go through the same relay, which holds bytes back but does not limit their rate. Asynchronous offloads need enough
streams to have work while answers travel; the synchronous mode stands beside them to show what waiting costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import ROOT, Figure, run_job
from sonic.client.fallback import ServeProcess
from sonic.testing.network import DelayProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

ROUND_TRIP_S = 0.060
STREAMS = (2, 4, 8, 16)
JOB = ("--repeat", 20, "--chunk-size", 1, "--threads", 1, "--no-fallback")


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio for each number of streams, and for the synchronous mode."""
    cases = [(f"async, {streams} streams", "async", streams) for streams in STREAMS] + [("sync, 1 stream", "sync", 1)]
    ratios: dict[str, list[float]] = {name: [] for name, _, _ in cases}
    with ServeProcess([ROOT / "src" / "sonic" / "workloads" / "models"]) as server:
        host, port = server.grpc_url.removeprefix("grpc://").split(":")
        with (
            DelayProxy(host, int(port), round_trip_s=0.0) as near,
            DelayProxy(host, int(port), round_trip_s=ROUND_TRIP_S) as far,
        ):
            for _ in range(repeats):
                for name, mode, streams in cases:
                    both = [
                        run_job(
                            "--server", f"grpc://{proxy.address}", "--offload", mode, "--streams", streams, *JOB
                        ).events_per_s
                        for proxy in (near, far)
                    ]
                    console.print(f"{name}: {both[0]:.1f} events/s with none, {both[1]:.1f} with 60 ms")
                    ratios[name].append(both[1] / both[0])
    for name, mode, streams in cases:
        enough = mode == "async" and streams == STREAMS[-1]
        yield Figure.of(f"60 ms / none, {name}", ratios[name], goal=0.95 if enough else None)
