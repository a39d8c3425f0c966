"""Figures that were published of services for inference, to stand beside one's own. Pure.

Points are as the papers' pictures and texts have them; most came without errors. A unit is part of a quantity's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Curve:
    """One scan of a paper.

    Parameters
    ----------
    name : str
        Unlike any other of its study.
    x, y : str
        What the axes are, with units: ``"jobs"``, ``"module_s"`` ...
    points : tuple of (x, y)
        By increasing x.
    settings : mapping
        What held for all points: ``gpus``, ``dynamic_batching`` ...
    """

    name: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]
    settings: Mapping[str, bool | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """What one paper says.

    Parameters
    ----------
    title, source : str
        The source as arXiv has it, or where it stands else.
    inputs : mapping of str to float
        What the paper's own model, or a simulation, is given.
    figures : mapping of str to float
        What it found, beside its scans.
    curves : tuple of Curve
    """

    title: str
    source: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()

    def curve(self, name: str) -> Curve:
        """Return the scan of that name.

        Raises
        ------
        ConfigError
        """
        for each in self.curves:
            if each.name == name:
                return each
        there = ", ".join(each.name for each in self.curves) or "none"
        raise ConfigError(f"no scan {name!r} in {self.source}: it has {there}")


PUBLISHED: dict[str, Study] = {
    "protodune": Study(
        title="ProtoDUNE reconstruction, hits classified by a CNN on T4 GPUs",
        source="arXiv:2009.04509",
        inputs={
            "offloaded_part": 0.65,
            "cpu_s": 330.0,
            "gpu_s": 1.77,
            "gpu_s_without_batching": 2.75,
            "transmit_s": 2.05,
            "travel_s": 2.6,
        },
        figures={
            "event_cpu_s": 330.0,
            "module_cpu_s": 219.4,
            "module_speed_up": 17.0,
            "event_speed_up": 2.7,
            "jobs_per_gpu": 68.0,
        },
        curves=(
            Curve(
                "4 GPUs, batching on",
                "jobs",
                "module_s",
                ((232, 17.6), (300, 24.1)),
                {"gpus": 4, "dynamic_batching": True},
            ),
            Curve(
                "4 GPUs, batching off",
                "jobs",
                "module_s",
                ((189, 18.1), (301, 49.5), (486, 188.0)),
                {"gpus": 4, "dynamic_batching": False},
            ),
            Curve(
                "1 GPU, batching on",
                "jobs",
                "module_s",
                ((80, 19.9), (96, 28.3), (144, 82.6)),
                {"gpus": 1, "dynamic_batching": True},
            ),
            Curve(
                "4 GPUs, larger client batches",
                "jobs",
                "module_s",
                ((268, 17.5), (400, 89.2)),
                {"gpus": 4, "rows": 1720},
            ),
        ),
    ),
    "miniaod-ak4": Study(
        title="MiniAOD, ParticleNet of AK4 jets on one T4 GPU, jobs of 4 threads",
        source="arXiv:2402.15366",
        inputs={
            "threads_per_job": 4,
            "cpu_events_per_s": 3.88,
            "event_cpu_s": 0.993,
            "particlenet_cpu_s": 0.0621,
            "deepmet_cpu_s": 0.0132,
            "deeptau_cpu_s": 0.0211,
            "particlenet_input_mb": 0.05,
            "deepmet_input_mb": 0.33,
            "deeptau_input_mb": 1.18,
        },
        figures={
            "particlenet_ak4_jobs_per_gpu": 160.0,
            "particlenet_ak8_jobs_per_gpu": 195.0,
            "deepmet_jobs_per_gpu": 520.0,
            "deeptau_jobs_per_gpu": 64.0,
        },
        curves=(
            Curve(
                "AK4",
                "jobs",
                "events_per_s_per_job",
                ((60, 3.96), (100, 4.01), (120, 3.97), (148, 3.97), (180, 3.77)),
                {"gpus": 1, "threads": 4},
            ),
        ),
    ),
    "miniaod-distance": Study(
        title="MiniAOD, 4 jobs, the server on site or hundreds of km away",
        source="arXiv:2402.15366",
        inputs={"jobs": 4},
        figures={"local_events_per_s": 4.60, "remote_events_per_s": 4.58, "direct_events_per_s": 4.17},
    ),
    "miniaod-large": Study(
        title="MiniAOD on 9,820 cores with 102 GPUs",
        source="arXiv:2402.15366",
        inputs={"jobs": 2455, "cores": 9820, "gpus": 102},
        figures={"least_gain": 0.12, "most_gain": 0.14},
    ),
    "brainwave": Study(
        title="ResNet-50 on an FPGA as a service, batches of 1",
        source="arXiv:1904.08986",
        figures={
            "on_site_s": 0.010,
            "remote_s": 0.060,
            "least_rate_per_s": 600.0,
            "most_rate_per_s": 700.0,
            "least_speed_up": 30.0,
            "most_speed_up": 175.0,
        },
    ),
    "faast": Study(
        title="FACILE on FPGAs as a service, against a GPU as a service",
        source="arXiv:2010.08556",
        figures={"rate_over_gpu": 10.0},
    ),
    "hlt": Study(
        title="The high-level trigger with FACILE as a service",
        source="arXiv:2007.10359",
        figures={"time_saved": 0.10},
    ),
    "exatrkx": Study(
        title="Tracking by a graph network as a service, events of 200 collisions",
        source="Exa.TrkX as a service",
        figures={"cpu_s": 9.65, "gpu_s": 2.42, "service_s": 2.24},
        curves=(Curve("events", "gpus", "events_per_s", ((1, 1.14), (4, 3.46))),),
    ),
}
"""By name."""


def study(name: str) -> Study:
    """Return what was published, by its name here.

    Raises
    ------
    ConfigError
    """
    if name not in PUBLISHED:
        raise ConfigError(f"nothing published by the name {name!r}: there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
