"""What capacity models say of the scans that were published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.study.models.base import Points
from sonic.study.models.fit import fit
from sonic.study.models.protodune import ProtoDune
from sonic.study.models.queues import queue
from sonic.study.models.simple import bounds
from sonic.study.plots.curves import over
from sonic.study.published import study

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure


def miniaod() -> Figure:
    """Draw MiniAOD's scan of jobs on one GPU, and models fitted to it."""
    paper = study("miniaod-ak4")
    jobs, each = np.array(paper.curve("AK4").points, float).T
    fine = np.linspace(jobs[0], 200, 300)
    curves = {}
    for model in (bounds(), queue()):
        found = fit(model, Points(jobs, jobs * each))
        curves[f"{model.name}: 95 % at {found.saturation.value:.0f} jobs"] = (fine, found.predict(fine) / fine)
    figure = over(
        {f"published ({paper.source})": (jobs, each)}, curves, "jobs", "events/s of a job", title="ParticleNet"
    )
    figure.axes[0].set_ylim(3.0, 4.4)
    return figure


def protodune() -> Figure:
    """Draw ProtoDUNE's scans, models fitted to them, and the paper's formula with the paper's inputs."""
    paper = study("protodune")
    elsewhere_s = paper.inputs["cpu_s"] - paper.figures["module_cpu_s"]
    points, curves = {}, {}
    for curve in paper.curves:
        jobs, module_s = np.array(curve.points, float).T
        if len(jobs) < 3:
            continue
        points[curve.name] = (jobs, module_s)
        found = fit(bounds(), Points(jobs, jobs / (module_s + elsewhere_s)))
        fine = np.linspace(0.7 * jobs[0], 1.05 * jobs[-1], 300)
        curves[curve.name] = (fine, fine / found.predict(fine) - elsewhere_s)
    names = ("cpu_s", "offloaded_part", "transmit_s", "travel_s")
    inputs = {name: paper.inputs[name] for name in names}
    formula = ProtoDune(gpu_s=paper.inputs["gpu_s_without_batching"], **inputs)
    fine = np.linspace(130, 510, 300)
    curves["formula, 4 GPUs, batching off"] = (fine, formula.event_s(fine, 4) - elsewhere_s)
    return over(points, curves, "jobs", "time of the module in an event (s)", title="ProtoDUNE")


PICTURES: dict[str, Callable[[], Figure]] = {"study-miniaod": miniaod, "study-protodune": protodune}
