"""What the modules of the path take of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework.report import Report

_NOT_OF_THE_PATH = ("analyzer", "source", "sink")


def path_ms(report: Report) -> dict[str, float]:
    """Return the processor's time that each module of the path took in the job, in ms for each event that was read.

    Analyzers, which compare with the truth, and reading and writing are left out. A model that ran in the job is in its
    module's time; of one that ran elsewhere there is what its module did before and after.

    Parameters
    ----------
    report : Report
        Of the workflow ``hlt``.
    """
    modules = (module for module in report.modules if module.kind not in _NOT_OF_THE_PATH)
    return {module.name: 1e3 * module.cpu_s / max(report.events, 1) for module in modules}


def share(times: Mapping[str, float], name: str) -> float:
    """Return which part of all times is one module's; NaN if there are none.

    Parameters
    ----------
    times : mapping of str to float
        As of :func:`path_ms`.
    name : str
    """
    total = sum(times.values())
    return times[name] / total if total else float("nan")
