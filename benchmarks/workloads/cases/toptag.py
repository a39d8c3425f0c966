"""ResNet-50 on images of wide jets as a service, beside their mass and substructure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

from benchmarks.workloads.case import Case, Ordinary, figure_of
from sonic.workloads.networks.catalogue import network
from sonic.workloads.toptag.images import BRANCHES, constituents
from sonic.workloads.toptag.substructure import substructure

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from benchmarks.workloads.case import Summaries
    from sonic.workloads.toptag.substructure import Substructure


def prepare(file: Path) -> ak.Array:
    """Read the jets and their particles."""
    with uproot.open(file) as opened:
        return opened["Events"].arrays(list(BRANCHES))


def run(events: ak.Array) -> Substructure:
    """Groom all wide jets, and find their N-subjettiness."""
    return substructure(constituents(events), np.asarray(ak.flatten(events.FatJet_eta), np.float64))


def merit(_: Summaries, __: Any) -> tuple[str, str]:
    """Areas under both ROC curves, on the test jets of the training: those of this sample are too few."""
    if not network("resnet50").shipped:
        return figure_of("resnet50"), ""
    areas = network("resnet50").metrics()["auc"]
    return f"AUC top vs QCD {areas['resnet50']:.3f}", f"AUC {areas['mass_and_tau32']:.3f}"


CASE = Case(
    workflow="toptag",
    events=60,
    chunk_size=10,
    ordinary=Ordinary("soft drop, N-subjettiness", prepare, run),
    merit=merit,
    remark="a sixteenth of ResNet-50's width",
)
