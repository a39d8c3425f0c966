"""The track fit as a service; there is nothing beside it, for it is the ordinary algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.workloads.case import Case

if TYPE_CHECKING:
    from benchmarks.workloads.case import Summaries


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """Efficiency, fakes, and the width of the pulls of the momentum."""
    rows = summaries["tracking_performance"]
    efficiency, fakes, pull = (rows[name] for name in ("efficiency", "fake rate", "pull width, q/pT"))
    return f"efficiency {efficiency:.3f}, fakes {fakes:.3f}, pull of q/pT {pull:.2f}", ""


CASE = Case(workflow="tracking", events=20, chunk_size=2, options={"particles": 100}, merit=merit)
