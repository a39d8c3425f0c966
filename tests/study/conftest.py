"""Records as a study writes them, made rather than measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.study.histogram import Histogram
from sonic.study.records import Estimate, Machine, Record, ServerWindow, Window

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE = Machine(system="Linux", processor="some <processor>", cores=2)
REPEATS = 3


def record(throughput: float, /, *, part: float = 0.04, queue_s: float = 0.004, batch: int = 2, **more: Any) -> Record:
    """Make one: `throughput` +- `part` of it, with a queue, batches, and latencies around 10 ms."""
    settings = {"clients": 1, "rows": 10} | more.pop("settings", {})
    requests, rows = int(throughput), int(settings["rows"])
    server = ServerWindow(
        requests=requests,
        failures=0,
        executions=max(requests // batch, 1),
        rows=rows * requests,
        queue_s=queue_s,
        input_s=0.0005,
        infer_s=0.003,
        output_s=0.0005,
        cpu_s=0.8,
    )
    window = Window(
        duration_s=1.0, requests=requests, errors=0, rows=rows * requests, client_cpu_s=0.1, bytes_sent=1, server=server
    )
    histogram = Histogram()
    histogram.add(np.random.default_rng(1).lognormal(np.log(0.006 + queue_s), 0.3, 200).tolist())
    fields: dict[str, Any] = {
        "target": "facile",
        "status": "measured",
        "started": "2026-01-01T00:00:00Z",
        "machine": MACHINE,
        "versions": {"sonic": "1.0"},
        "throughput": Estimate(throughput, (1 - part) * throughput, (1 + part) * throughput),
        "row_rate": Estimate(rows * throughput),
        "latencies": histogram.latencies(),
        "windows": (window,) * REPEATS,
    }
    return Record(**(fields | more), settings=settings)


@pytest.fixture(scope="session")
def make() -> Callable[..., Record]:
    return record
