"""Energies of all channels of the hadron calorimeter: FACILE, beside the pulse fit that it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uproot

from benchmarks.workloads.case import Case, Ordinary, figure_of
from sonic.framework import Workflow
from sonic.workloads import MODELS
from sonic.workloads.hlt.local import FACILE, FacileEnergies, FitEnergies

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.case import Summaries


def workflow() -> Workflow:
    """Return the local reconstruction of `hlt` by itself."""
    return Workflow("hcal", (FacileEnergies(),), keep=FacileEnergies.produces, models=MODELS)


def read(file: Path) -> Any:
    """Read the digis."""
    return uproot.open(file)["Events"].arrays(list(FitEnergies.consumes))


def merit(_: Summaries, __: Any) -> tuple[str, str]:
    """As it was found in training, on events with the truth of every channel."""
    return figure_of(FACILE), ""


PULSE_FIT = Ordinary("pulse fit", read, FitEnergies().produce)
"""Beside which the trigger path is measured, too."""

CASE = Case(
    workflow=workflow,
    events=8,
    chunk_size=1,
    generator="hlt",
    options={"process": "drawn"},
    ordinary=PULSE_FIT,
    merit=merit,
)
