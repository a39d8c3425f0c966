"""All four networks of CMS's MiniAOD production: ParticleNet for jets and wide jets, DeepMET and DeepTau."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.workloads.case import Case, figure_of

if TYPE_CHECKING:
    from benchmarks.workloads.case import Summaries


def merit(_: Summaries, __: Any) -> tuple[str, str]:
    """Say what the tagger of wide jets reached on its test jets; the others' figures are those of `miniaod`."""
    return figure_of("particlenet-ak8"), ""


CASE = Case(
    workflow="miniaod-full",
    generator="miniaod",
    options={"process": "tt"},
    events=40,
    chunk_size=10,
    merit=merit,
    remark="DeepTau has random weights",
)
