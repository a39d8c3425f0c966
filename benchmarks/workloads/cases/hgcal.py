"""Showers in the endcap calorimeter: GravNet on the hits of an event, beside the clustering by their density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uproot

from benchmarks.workloads.case import Case, Ordinary
from sonic.workloads.hgcal.workflow import DensityClusters

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def read(file: Path) -> Any:
    """Read the hits."""
    return uproot.open(file)["Events"].arrays(list(DensityClusters.consumes))


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """Showers found and fakes, of both."""
    rows = summaries["shower_performance"]
    ours, ordinary = (
        f"efficiency {rows[f'{name}, efficiency']:.2f}, fakes {rows[f'{name}, fake rate']:.2f}"
        for name in ("GravNet", "density")
    )
    return ours, ordinary


CASE = Case(
    workflow="hgcal",
    events=50,
    chunk_size=1,
    ordinary=Ordinary("clustering by density", read, DensityClusters().produce),
    merit=merit,
)
