"""Tracks by the graph network and fitted, both as services, beside the combinatorial finder with its own fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import uproot

from benchmarks.workloads.case import Case, Ordinary
from sonic.workloads.tracking.comparison import rates
from sonic.workloads.tracking.finder import find
from sonic.workloads.tracking.matching import match
from sonic.workloads.tracking.sample import HITS, OWNER, TRUTH
from sonic.workloads.tracking.simulation import Event

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def read(file: Path) -> list[Event]:
    """Read hits and truth."""
    events = uproot.open(file)["Events"].arrays([*HITS, OWNER, *TRUTH])
    return [
        Event(*(np.asarray(event[name]) for name in (*HITS, OWNER)), np.stack([np.asarray(event[t]) for t in TRUTH]))
        for event in events
    ]


def search(events: list[Event]) -> list[tuple[Event, np.ndarray]]:
    """Find the tracks of the events, and fit them."""
    return [(event, find(event.layer, event.phi, event.z_mm).hits) for event in events]


def merit(summaries: Summaries, found: Any) -> tuple[str, str]:
    """Efficiency and fakes of both."""
    rows = summaries["tracking_performance"]
    ordinary = rates([match(event, hits) for event, hits in found])
    both = ((rows["efficiency"], rows["fake rate"]), ordinary)
    ours, theirs = (f"efficiency {efficiency:.3f}, fakes {fakes:.3f}" for efficiency, fakes in both)
    return ours, theirs


CASE = Case(
    workflow="tracking-gnn",
    events=10,
    chunk_size=1,
    generator="tracking",
    options={"particles": 300},
    ordinary=Ordinary("combinatorial finder", read, search),
    merit=merit,
    remark="graph building and tracks from scores are not offloaded",
)
