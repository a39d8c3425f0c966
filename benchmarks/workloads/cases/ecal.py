"""DeepCalo as a service, beside the window's sums with their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot

from benchmarks.workloads.case import Case, Ordinary
from sonic.workloads.ecal.calibration import energies, sums
from sonic.workloads.ecal.geometry import CELL_ETA
from sonic.workloads.ecal.workflow import CELL_BRANCHES, CLUSTER_BRANCHES, cluster_images

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def prepare(file: Path) -> ak.Array:
    """Read the cells."""
    with uproot.open(file) as opened:
        return opened["Events"].arrays([*CLUSTER_BRANCHES, *CELL_BRANCHES])


def run(events: ak.Array) -> int:
    """Find the energies of all clusters, their images and sums included."""
    layers = sums(cluster_images(events))
    ieta = np.asarray(ak.flatten(events.Cluster_ieta))
    return len(energies(layers, CELL_ETA * (ieta + 0.5)))


def merit(summaries: Summaries, _: Any) -> tuple[str, str]:
    """Bias and resolution of both at 80 to 150 GeV."""
    rows = summaries["ecal_performance"]
    ours, window = (str(rows.get(f"{name}, 80 to 150 GeV", "too few")) for name in ("DeepCalo", "window"))
    return f"{ours} at 80-150 GeV", window


CASE = Case(
    workflow="ecal",
    events=200,
    chunk_size=25,
    ordinary=Ordinary("window, layer weights", prepare, run),
    merit=merit,
)
