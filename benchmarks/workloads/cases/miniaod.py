"""Flavour tagging and missing momentum: ParticleNet and DeepMET, beside the plain sum of candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uproot

from benchmarks.workloads.case import Case, Ordinary
from sonic.workloads.miniaod.modules import CandidateSums

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def read(file: Path) -> Any:
    """Read what the sums are made of."""
    return uproot.open(file)["Events"].arrays(list(CandidateSums.consumes))


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """Resolution of missing momentum."""
    rows = summaries["met_performance"]
    ours, plain = (rows[f"MET residual (GeV), {name}"] for name in ("DeepMET", "plain sum"))
    return f"MET resolution {ours:.3g} GeV", f"{plain:.3g} GeV"


CASE = Case(
    workflow="miniaod",
    events=100,
    chunk_size=10,
    options={"process": "tt"},
    ordinary=Ordinary("plain sum", read, CandidateSums().produce),
    merit=merit,
)
