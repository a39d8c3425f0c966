"""What the modules of the path take of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework.report import Report

OTHERS = "(other threads)"
"""What the job's process did outside the modules' own threads: models in it, connections to servers, planning."""
_NOT_OF_THE_PATH = ("analyzer", "source", "sink")


def path_ms(report: Report) -> dict[str, float]:
    """Return the processor's time that each module of the path took in the job, in ms for each event that was read.

    Analyzers, which compare with the truth, and reading and writing are left out. A model that ran in the job is in its
    module's time, or in that of :data:`OTHERS` where a call was split; of one that ran elsewhere there is what its
    module did before and after, and what the connection took.

    Parameters
    ----------
    report : Report
        Of the workflow ``hlt``, in one process.
    """
    times = {module.name: module.cpu_s for module in report.modules if module.kind not in _NOT_OF_THE_PATH}
    times[OTHERS] = max(report.cpu_s - sum(module.cpu_s for module in report.modules), 0.0)
    return {name: 1e3 * cpu_s / max(report.events, 1) for name, cpu_s in times.items()}


def hcal_ms(times: Mapping[str, float]) -> float:
    """Return what the hadron calorimeter took: its module, and all of :data:`OTHERS`, as nothing else is as large.

    Parameters
    ----------
    times : mapping of str to float
        As of :func:`path_ms`.
    """
    return times["hcal"] + times[OTHERS]


def hcal_share(times: Mapping[str, float]) -> float:
    """Return which part of the path that is; NaN if nothing took any time."""
    total = sum(times.values())
    return hcal_ms(times) / total if total else float("nan")
