"""Events/s of `miniaod` with its networks as a service on the same machine, over events/s with them in the job.

Both share the machine's cores, so the best a service can do is to cost nothing. The two are run in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import Figure, run_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

JOB = ("--repeat", 40, "--chunk-size", 10)


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield the ratio."""
    ratios = []
    for _ in range(repeats):
        direct = run_job("--mode", "direct", *JOB).events_per_s
        service = run_job("--mode", "service", *JOB).events_per_s
        console.print(f"direct {direct:.1f} events/s, service {service:.1f} events/s")
        ratios.append(service / direct)
    yield Figure.of("service / direct", ratios, goal=0.85)
