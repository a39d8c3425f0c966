"""What the hadron calorimeter takes of a trigger-like path: by the pulse fit, by FACILE in the job and as a service.

The job has one thread and, where there is another, a core that is not the server's. Times are the processor's, of the
job's process, without reading, writing and comparing with the truth: of a model on the server there is what its module
does before and after, and the connection. Ratios are of ways within one repeat, one after the other over the same
events.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common import Figure, pinned
from sonic.client.fallback import ServeProcess
from sonic.workloads.hlt.sample import generate
from sonic.workloads.hlt.shares import hcal_ms, hcal_share, path_ms
from sonic.workloads.hlt.ways import WAYS, run_ways
from sonic.workloads.hlt.workflow import workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

EVENTS = 40
SEED = 21


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield shares and ratios."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.root"
        generate(file, EVENTS, SEED)
        with pinned(cores[1:] or cores):
            server = ServeProcess([workflow().models])
        with server, pinned(cores[:1]):
            run_ways(file, server.grpc_url)  # a first time, with all that is only made once
            rows = []
            for number in range(repeats):
                reports = run_ways(file, server.grpc_url)
                rows.append(reports)
                for name, report in reports.items():
                    times = {module: round(ms, 2) for module, ms in path_ms(report).items()}
                    console.print(f"{number + 1}: {name}: {sum(times.values()):.1f} ms of {times}", highlight=False)
    first, *others = WAYS
    for name in WAYS:
        yield Figure.of(f"HCAL, part of the path: {name}", [hcal_share(path_ms(row[name])) for row in rows])
    for name in others:
        totals = [sum(path_ms(row[name]).values()) / sum(path_ms(row[first]).values()) for row in rows]
        yield Figure.of(f"time of the path: {name} / {first}", totals)
        hcal = [hcal_ms(path_ms(row[name])) / hcal_ms(path_ms(row[first])) for row in rows]
        yield Figure.of(f"time of HCAL: {name} / {first}", hcal)
