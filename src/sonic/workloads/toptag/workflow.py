"""The workflow ``toptag``: wide jets tagged as top quarks by ResNet-50, beside the ordinary tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import numpy as np

from sonic.framework import Analyzer, Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.toptag.images import BRANCHES, constituents, images
from sonic.workloads.toptag.substructure import score
from sonic.workloads.truth import WIDE_CLASSES
from sonic.workloads.uncertainties import area

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonic.framework.module import Columns

MAX_ETA = 2.4
UNTAGGED = -1.0
PT_GEV = (400.0, 800.0)
"""Of the jets that the network was trained on, and that the figures are of."""
_SUBSTRUCTURE = ("FatJet_msoftdrop", "FatJet_tau2", "FatJet_tau3")
_TOPS = tuple(WIDE_CLASSES.index(name) for name in ("Tbcq", "Tbqq"))
_QCD = tuple(i for i, name in enumerate(WIDE_CLASSES) if name.startswith("QCD"))


def truth(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 1 for jets with all of a top quark's decay into quarks, 0 for those of quarks and gluons, else -1.

    Parameters
    ----------
    classes : int array [jets]
        Indices into :data:`sonic.workloads.truth.WIDE_CLASSES`; -1: undefined.
    """
    found: NDArray[np.int64] = np.select([np.isin(classes, _TOPS), np.isin(classes, _QCD)], [1, 0], -1)
    return found


class JetSelection(Producer):
    """Which wide jets can be tagged: within the tracker, and with particles."""

    name = "jets"
    consumes = BRANCHES
    produces = ("FatJet_taggable",)

    def produce(self, events: ak.Array) -> Columns:
        """Select jets."""
        eta = np.asarray(ak.flatten(events.FatJet_eta), np.float64)
        taggable = (np.abs(eta) < MAX_ETA) & (constituents(events).counts > 0)
        return {"FatJet_taggable": ak.unflatten(taggable, ak.num(events.FatJet_eta))}


class TopTagger(Offload):
    """Top quarks among wide jets, by ResNet-50: the images of a chunk, in requests of ten, 6 MB."""

    name = "tagger"
    model = "resnet50"
    request_rows = 10
    consumes = (*BRANCHES, "FatJet_taggable")
    produces = ("FatJet_topScore",)

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Draw the jets that can be tagged."""
        return {"images": images(constituents(events, _flat(events.FatJet_taggable)))}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each jet the probability of a top quark, -1 to those not tagged."""
        taggable = _flat(events.FatJet_taggable)
        values = np.full(len(taggable), UNTAGGED, np.float32)
        if "probabilities" in outputs:
            values[taggable] = outputs["probabilities"][:, 0]
        return {"FatJet_topScore": ak.unflatten(values, ak.num(events.FatJet_taggable))}


class TopPerformance(Analyzer):
    """Areas under ROC curves, where the file has the truth; the ordinary tagger's, where it has the substructure."""

    name = "top_performance"
    consumes = ("FatJet_pt", "FatJet_taggable", "FatJet_topScore")
    optional = ("FatJet_truthClass", *_SUBSTRUCTURE)

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill histograms of the scores, by what the jets are."""
        taggable = _flat(events.FatJet_taggable)
        sums: dict[str, Any] = {"jets": len(taggable), "tagged": int(taggable.sum())}
        if "FatJet_truthClass" not in events.fields:
            return sums
        pt, what = _flat(events.FatJet_pt), truth(_flat(events.FatJet_truthClass))
        kept = taggable & (pt > PT_GEV[0]) & (pt < PT_GEV[1]) & (what >= 0)
        scores = {"ResNet-50": _flat(events.FatJet_topScore)}
        if set(_SUBSTRUCTURE) <= set(events.fields):
            scores["mass and tau32"] = 0.5 * (1 + score(*(_flat(events[name]) for name in _SUBSTRUCTURE)))
        for label, values in scores.items():
            axis = hist.axis.Regular(10_000, 0.0, 1.0, name="score", label=label)
            filled: Any = hist.Hist(hist.axis.Integer(0, 2, name="top", label="is a top quark"), axis)
            sums[label] = filled.fill(what[kept], np.clip(values[kept], 0.0, np.nextafter(1.0, 0)))
        return sums

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Numbers of jets, and areas."""
        rows: dict[str, float | int | str] = {"wide jets": total["jets"], "tagged": total["tagged"]}
        for label, filled in total.items():
            if isinstance(filled, hist.Hist):
                qcd, top = filled.values()
                rows["top jets"], rows["jets of quarks and gluons"] = int(top.sum()), int(qcd.sum())
                if top.sum() and qcd.sum():
                    rows[f"AUC, {label}"] = area(top, qcd)
        return rows


def workflow() -> Workflow:
    """Return the workflow ``toptag``."""
    return Workflow(
        name="toptag",
        modules=(JetSelection(), TopTagger(), TopPerformance()),
        keep=("FatJet_*",),
        models=MODELS,
        chunk_size=20,  # an image is 0.6 MB
    )


def _flat(column: ak.Array) -> np.ndarray:
    found: np.ndarray = np.asarray(ak.flatten(column))
    return found
