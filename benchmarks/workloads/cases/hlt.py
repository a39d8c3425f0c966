"""The trigger path with FACILE, beside what the offloaded modules do without networks: pulse fit and track counting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.workloads.case import Case
from benchmarks.workloads.cases.hcal import PULSE_FIT

if TYPE_CHECKING:
    from benchmarks.workloads.case import Summaries


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """Resolution of jets, and tagging of b jets: by the network and by counting tracks."""
    width = summaries["energy_performance"]["its resolution"]
    rows = summaries.get("tagging_performance", {})
    network, count = (rows.get(f"AUC b against light, {name}") for name in ("ParticleNet", "track counting"))
    ours = f"jet resolution {width:.3f}" + (f", AUC b {network:.2f}" if isinstance(network, float) else "")
    return ours, f"AUC b by counting tracks {count:.2f}" if isinstance(count, float) else ""


CASE = Case(
    workflow="hlt",
    events=20,
    chunk_size=2,
    options={"process": "drawn"},
    ordinary=PULSE_FIT,
    merit=merit,
    remark="the pulse fit stands beside the offloads of HCAL, track fit and tagger together",
)
