"""The job's networks: what each is sent, and what is made of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sonic.framework import Offload
from sonic.workloads.features import (
    JET_BRANCHES,
    MET_BRANCHES,
    MET_SCALE_GEV,
    TAU_BRANCHES,
    WIDE_JET_BRANCHES,
    TauCandidates,
    jet_inputs,
    met_inputs,
    tau_inputs,
    wide_jet_inputs,
)
from sonic.workloads.features.flat import flat
from sonic.workloads.miniaod.modules import TauSelection, polar
from sonic.workloads.truth import discriminants, wide_discriminants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework.module import Columns

UNTAGGED = -1.0
"""Score of what was not sent."""


class Tagger(Offload):
    """Flavour of jets, by ParticleNet: all taggable jets of a chunk in one request."""

    name = "tagger"
    model = "particlenet-ak4"
    consumes = (*JET_BRANCHES, "Jet_taggable")
    produces = ("Jet_sonicB", "Jet_sonicCvL", "Jet_sonicCvB")

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Build the inputs of the taggable jets."""
        return jet_inputs(events, events.Jet_taggable)

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each jet its discriminants, -1 for those not tagged."""
        scores = discriminants(outputs["softmax"]) if "softmax" in outputs else {}
        return {
            product: _spread(events.Jet_taggable, scores.get(score))
            for product, score in zip(self.produces, ("b", "cvl", "cvb"), strict=True)
        }


class WideTagger(Offload):
    """What wide jets hold, by ParticleNet: all taggable wide jets of a chunk in one request."""

    name = "wide_tagger"
    model = "particlenet-ak8"
    consumes = (*WIDE_JET_BRANCHES, "FatJet_taggable")
    produces = tuple(f"FatJet_sonic{name}" for name in ("TvsQCD", "WvsQCD", "ZvsQCD", "HvsQCD", "HbbvsQCD"))

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Build the inputs of the taggable wide jets."""
        return wide_jet_inputs(events, events.FatJet_taggable)

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each wide jet its discriminants, -1 for those not tagged."""
        scores = wide_discriminants(outputs["softmax"]) if "softmax" in outputs else {}
        return {
            product: _spread(events.FatJet_taggable, scores.get(score))
            for product, score in zip(self.produces, ("top", "w", "z", "higgs", "hbb"), strict=True)
        }


class MissingMomentum(Offload):
    """Missing transverse momentum, by DeepMET."""

    name = "deepmet"
    model = "deepmet"
    consumes = MET_BRANCHES
    produces = ("SonicMET_pt", "SonicMET_phi")

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Build the inputs of all events."""
        return met_inputs(events)

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Scale the components to GeV."""
        components = outputs.get("output", np.zeros((len(events), 2), np.float32))
        pt, phi = polar(*(components.astype(np.float64) * MET_SCALE_GEV).T)
        return {"SonicMET_pt": pt, "SonicMET_phi": phi}


class TauIdentification(Offload):
    """What tau candidates are, by DeepTau: all candidates of a chunk in one request."""

    name = "deeptau"
    model = "deeptau"
    consumes = (*TAU_BRANCHES, *TauSelection.produces)
    produces = tuple(f"TauCand_score{name}" for name in ("Electron", "Muon", "Tau", "Jet"))

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Build the inputs of the candidates: 0.42 MB of each."""
        candidates = flat(events, "TauCand", TauCandidates._fields[1:])
        whole = ("charge", "prongs", "strips", "jet", "lead")
        columns: dict[str, Any] = {n: c.astype(np.int64) if n in whole else c for n, c in candidates.columns.items()}
        return dict(tau_inputs(events, TauCandidates(candidates.counts, **columns)))

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each candidate its probabilities."""
        counts = ak.num(events.TauCand_pt)
        scores = outputs.get("probabilities", np.zeros((0, len(self.produces)), np.float32))
        return {name: ak.unflatten(score, counts) for name, score in zip(self.produces, scores.T, strict=True)}


def _spread(sent: ak.Array, scores: np.ndarray | None) -> ak.Array:
    """Scores of those that were sent, -1 for the others."""
    flat_sent = np.asarray(ak.flatten(sent), bool)
    values = np.full(len(flat_sent), UNTAGGED, np.float32)
    if scores is not None:
        values[flat_sent] = scores
    return ak.unflatten(values, ak.num(sent))
