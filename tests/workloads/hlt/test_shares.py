from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from sonic.framework.report import ModuleReport
from sonic.workloads.hlt.shares import OTHERS, hcal_ms, hcal_share, path_ms


@dataclass
class Job:
    """What is looked at of a report."""

    events: int
    cpu_s: float
    modules: tuple[ModuleReport, ...]


def module(name: str, kind: str, cpu_s: float) -> ModuleReport:
    return ModuleReport(name, kind, calls=1, events=4, passed=None, cpu_s=cpu_s, wall_s=9.0)


def test_times_are_of_the_path_alone() -> None:
    modules = [("(source)", "source", 1.0), ("hcal", "offload", 0.3), ("look", "analyzer", 1.0)]
    modules.append(("jets", "producer", 0.1))
    job: Any = Job(10, 2.6, tuple(module(*each) for each in modules))
    times = path_ms(job)
    assert times == pytest.approx({"hcal": 30.0, "jets": 10.0, OTHERS: 20.0})
    assert hcal_ms(times) == pytest.approx(50.0)
    assert hcal_share(times) == pytest.approx(5 / 6)
    empty: Any = Job(0, 0.0, tuple(module(name, kind, 0.0) for name, kind, _ in modules))
    assert math.isnan(hcal_share(path_ms(empty)))
