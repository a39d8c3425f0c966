"""What each network of `miniaod-full` takes of the job, direct and as a service; one thread, top-quark events.

Shares are of the processor time of all modules of the direct job, so that other work on the machine does not enter. As
a service, what is left in the job is building inputs, sending, and making products. AK8 has its published width, with
random weights, as DeepTau has.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, Figure, run_job
from sonic.workloads import MODELS, zoo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

JOB = ("--repeat", 10, "--chunk-size", 10, "--threads", 1)
EVENTS = ROOT / "demo" / "generated.root"
NETWORKS = ("particlenet-ak4", "particlenet-ak8", "deepmet", "deeptau")
_WORKFLOW = """
from dataclasses import replace
from sonic.workloads.miniaod import full

def workflow():
    return replace(full(), models={models!r})
"""


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Yield shares, ratios and sizes by network."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        workflow = _with_published_widths(Path(folder))
        for _ in range(repeats):
            direct, service = (
                run_job("--mode", mode, *JOB, workflow=workflow, events=EVENTS).report for mode in ("direct", "service")
            )
            for name, value in _figures(direct, service).items():
                found[name].append(value)
            console.print(
                f"direct {direct['events_per_s']:.1f} events/s, service {service['events_per_s']:.1f} events/s"
            )
    for name, values in found.items():
        yield Figure.of(name, values)


def _with_published_widths(folder: Path) -> Path:
    models = folder / "models"
    for name in set(NETWORKS) - {"particlenet-ak8"}:
        shutil.copytree(MODELS / name, models / name)
    zoo.build("particlenet-ak8", models, weights="table")
    workflow = folder / "published.py"
    workflow.write_text(_WORKFLOW.format(models=str(models)))
    return workflow


def _figures(direct: dict[str, Any], service: dict[str, Any]) -> dict[str, float]:
    by_model = [{m["offload"]["model"]: m for m in report["modules"] if m["offload"]} for report in (direct, service)]
    whole_s = sum(module["cpu_s"] for module in direct["modules"])
    figures: dict[str, float] = {}
    for name in NETWORKS:
        alone, remote = (modules[name] for modules in by_model)
        offload = remote["offload"]
        figures |= {
            f"{name}: direct, ms of CPU an event": 1e3 * alone["cpu_s"] / direct["events"],
            f"{name}: direct, share of the job": alone["cpu_s"] / whole_s,
            f"{name}: as a service, share left in the job": remote["cpu_s"] / whole_s,
            f"{name}: as a service, hidden": offload["hidden_s"] / offload["external_s"],
            f"{name}: MB sent an event": offload["bytes_sent"] / service["events"] / 1e6,
        }
    figures["all: direct, ms of CPU an event"] = 1e3 * whole_s / direct["events"]
    figures["all: two or more requests of a chunk under way, of the external time"] = (
        service["together_s"] / service["external_s"]
    )
    return figures
