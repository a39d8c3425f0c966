"""The measurement that all workloads have in common.

The job has one thread. Direct, its models run in that thread, on one core; as a service, they run in a server of its
own process on the same machine, which may use all cores, and the job goes on with other chunks while it waits (mode
async). The ordinary algorithm runs by itself, on one core. One after the other, in every repeat, so that ratios within
a repeat see the same machine.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from benchmarks.workloads.case import Found, Repeat
from sonic.client.fallback import ServeProcess
from sonic.client.model import Client
from sonic.framework.job import run
from sonic.framework.workflow import load as load_workflow
from sonic.testing.compare import differences
from sonic.workloads import generators

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.workloads.case import Case
    from sonic.framework.report import Report
    from sonic.framework.workflow import Workflow

SEED = 77
STREAMS = 8
"""Chunks in flight."""


def measure(name: str, case: Case, folder: Path, *, repeats: int, seconds: float, note: Callable[[str], None]) -> Found:
    """Measure a workload.

    Parameters
    ----------
    name : str
    case : Case
    folder : Path
        An empty one, for the sample and the outputs.
    repeats : int
    seconds : float
        About how long a job lasts: the sample is read as often as that takes, at least once.
    note : callable of str
        Told what is going on.

    Raises
    ------
    SonicError
        If the sample cannot be made or a job fails.
    """
    workflow = load_workflow(case.workflow) if isinstance(case.workflow, str) else case.workflow()
    sample = folder / "events.root"
    note(f"{name}: generating {case.events} events")
    written = generators.find(case.generator or workflow.name)(sample, case.events, SEED, None, **case.options)
    prepared = None if case.ordinary is None else case.ordinary.prepare(sample)
    with (
        Client([f"local:{workflow.models}?cores=1"], fallback=False) as here,
        ServeProcess([workflow.models]) as server,
        Client([server.grpc_url], fallback=False) as there,
    ):
        routes = {"direct": here, "service": there}
        note(f"{name}: first runs")
        outputs = {mode: folder / f"{mode}.root" for mode in ("direct", "service")}
        first = {mode: _job(workflow, case, sample, 1, mode, routes[mode], output) for mode, output in outputs.items()}
        unlike = differences(outputs["direct"], outputs["service"])
        again = max(1, math.ceil(seconds / first["direct"].wall_s))
        rows, result, report = [], None, first["service"]
        for number in range(repeats):
            note(f"{name}: repeat {number + 1} of {repeats}")
            direct = _job(workflow, case, sample, again, "direct", here)
            report = _job(workflow, case, sample, again, "service", there)
            ordinary_ms = None
            if case.ordinary is not None:
                started = time.perf_counter()
                result = case.ordinary.run(prepared)
                ordinary_ms = 1e3 * (time.perf_counter() - started) / written
            rows.append(
                Repeat(
                    job_direct_ms=1e3 * direct.wall_s / direct.events,
                    job_service_ms=1e3 * report.wall_s / report.events,
                    algorithm_ms=1e3 * _offloaded_s(direct) / direct.events,
                    ordinary_ms=ordinary_ms,
                    hidden=report.hidden_fraction or 0.0,
                )
            )
    merit, ordinary_merit = case.merit(first["direct"].summaries, result)
    offloads = [module.offload for module in report.modules if module.offload is not None]
    requests = sum(offload.requests for offload in offloads)
    return Found(
        name=name,
        models=tuple(offload.model for offload in offloads),
        ordinary=case.ordinary.name if case.ordinary else "",
        request_bytes=sum(offload.bytes_sent for offload in offloads) / max(requests, 1),
        requests=requests / report.events,
        same=not unlike,
        merit=merit,
        ordinary_merit=ordinary_merit,
        remark=case.remark,
        repeats=tuple(rows),
    )


def _job(
    workflow: Workflow, case: Case, sample: Path, repeat: int, mode: str, client: Client, output: Path | None = None
) -> Report:
    return run(
        workflow,
        [sample],
        output,
        mode=mode,
        threads=1,
        streams=STREAMS,
        chunk_size=case.chunk_size,
        repeat=repeat,
        client=client,
    )


def _offloaded_s(direct: Report) -> float:
    """Seconds of the offloaded modules: in a job of one thread that calls directly, waiting is computing."""
    return sum(m.wall_s + m.offload.external_s for m in direct.modules if m.offload is not None)
