"""The main job: flavour tagging and missing momentum in PFNano files, with what a job has beside them.

The two networks are offloaded; the rest runs here. Truth and the values that CMSSW stored are used where the file has
them, to compare; nothing depends on them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import vector

from sonic.framework import Filter, Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.features import JET_BRANCHES, MET_BRANCHES, MET_SCALE_GEV, jet_inputs, met_inputs
from sonic.workloads.performance import MissingMomentumPerformance, Spectra, TaggerPerformance
from sonic.workloads.truth import discriminants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sonic.framework.module import Columns

vector.register_awkward()

TAGGER_MAX_ETA = 2.5
"""Jets beyond have no tracks to tag by."""

GOOD_JET_PT_GEV = 30.0
UNTAGGED = -1.0
_DEFAULT_B_CUT = 0.5


@cache
def b_cut() -> float:
    """Cut on ``Jet_sonicB`` that one in a hundred generated light jets passes, from the tagger's metrics."""
    file = MODELS / "particlenet-ak4" / "metrics.json"
    metrics: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return float(metrics.get("b_cut_at_light_mistag", {}).get("0.01", _DEFAULT_B_CUT))


class CandidateSums(Producer):
    """Sums over candidates: numbers, scalar sum, and missing momentum, plain and weighted by PUPPI."""

    name = "candidates"
    consumes = ("PFCands_pt", "PFCands_phi", "PFCands_charge", "PFCands_puppiWeight")
    produces = (
        "Cands_nCharged",
        "Cands_nNeutral",
        "Cands_sumPt",
        "PlainMET_pt",
        "PlainMET_phi",
        "WeightedMET_pt",
        "WeightedMET_phi",
    )

    def produce(self, events: ak.Array) -> Columns:
        """Make the sums, GeV."""
        charged = events.PFCands_charge != 0
        products = {
            "Cands_nCharged": ak.values_astype(ak.sum(charged, axis=1), np.int32),
            "Cands_nNeutral": ak.values_astype(ak.sum(~charged, axis=1), np.int32),
            "Cands_sumPt": ak.values_astype(ak.sum(events.PFCands_pt, axis=1), np.float32),
        }
        cos, sin = np.cos(events.PFCands_phi), np.sin(events.PFCands_phi)
        for name, weight in (("PlainMET", 1.0), ("WeightedMET", events.PFCands_puppiWeight)):
            weighted = ak.values_astype(events.PFCands_pt * weight, np.float64)
            x, y = (-np.asarray(ak.sum(weighted * part, axis=1)) for part in (cos, sin))
            products[f"{name}_pt"], products[f"{name}_phi"] = polar(x, y)
        return products


class JetSelection(Producer):
    """Which jets can be tagged and which count as good, and their scalar sum."""

    name = "jets"
    consumes = ("Jet_pt", "Jet_eta")
    produces = ("Jet_taggable", "Jet_good", "Event_nGoodJets", "Event_ht")

    def produce(self, events: ak.Array) -> Columns:
        """Select jets: taggable within the tracker, good above 30 GeV as well."""
        taggable = np.abs(events.Jet_eta) < TAGGER_MAX_ETA
        good = taggable & (events.Jet_pt > GOOD_JET_PT_GEV)
        return {
            "Jet_taggable": taggable,
            "Jet_good": good,
            "Event_nGoodJets": ak.values_astype(ak.sum(good, axis=1), np.int32),
            "Event_ht": ak.values_astype(ak.sum(events.Jet_pt * good, axis=1), np.float32),
        }


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
        taggable = np.asarray(ak.flatten(events.Jet_taggable), bool)
        counts = ak.num(events.Jet_taggable)
        scores = discriminants(outputs["softmax"]) if "softmax" in outputs else {}
        products = {}
        for product, score in zip(self.produces, ("b", "cvl", "cvb"), strict=True):
            values = np.full(len(taggable), UNTAGGED, np.float32)
            if score in scores:
                values[taggable] = scores[score]
            products[product] = ak.unflatten(values, counts)
        return products


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


class BJets(Producer):
    """Good jets whose b discriminant passes the cut, most b-like first."""

    name = "b_jets"
    consumes = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_good", "Jet_sonicB")
    produces = ("BJet_pt", "BJet_eta", "BJet_phi", "BJet_mass", "BJet_score", "Jet_sonicIsB")

    def produce(self, events: ak.Array) -> Columns:
        """Select and order."""
        chosen = events.Jet_good & (events.Jet_sonicB > b_cut())
        order = ak.argsort(events.Jet_sonicB[chosen], ascending=False, stable=True)
        columns = {part: events[f"Jet_{part}"][chosen][order] for part in ("pt", "eta", "phi", "mass")}
        products = {f"BJet_{part}": column for part, column in columns.items()}
        return products | {"BJet_score": events.Jet_sonicB[chosen][order], "Jet_sonicIsB": chosen}


class TwoGoodJets(Filter):
    """Events with at least two good jets."""

    name = "two_good_jets"
    consumes = ("Event_nGoodJets",)

    def select(self, events: ak.Array) -> ak.Array:
        """Count."""
        return events.Event_nGoodJets >= 2


class Dijets(Producer):
    """Every pair of good jets: mass, momentum, distance, and how many of the two are b jets."""

    name = "dijets"
    consumes = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_good", "Jet_sonicIsB")
    produces = ("Dijet_mass", "Dijet_pt", "Dijet_deltaR", "Dijet_nB")

    def produce(self, events: ak.Array) -> Columns:
        """Pair the jets; masses and momenta in GeV."""
        good = events.Jet_good
        names = ("pt", "eta", "phi", "mass")
        parts = {part: ak.values_astype(events[f"Jet_{part}"][good], np.float64) for part in names}
        jets = ak.zip(parts | {"is_b": events.Jet_sonicIsB[good]}, with_name="Momentum4D")
        first, second = ak.unzip(ak.combinations(jets, 2))
        both = first + second
        products = {"Dijet_mass": both.mass, "Dijet_pt": both.pt, "Dijet_deltaR": first.deltaR(second)}
        floats = {name: ak.values_astype(values, np.float32) for name, values in products.items()}
        n_b = ak.values_astype(first.is_b, np.int32) + ak.values_astype(second.is_b, np.int32)
        return floats | {"Dijet_nB": n_b}


def polar(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Size and azimuth of vectors, float32."""
    return np.hypot(x, y).astype(np.float32), np.arctan2(y, x).astype(np.float32)


def workflow() -> Workflow:
    """Return the workflow ``miniaod``."""
    return Workflow(
        name="miniaod",
        modules=(
            CandidateSums(),
            JetSelection(),
            Tagger(),
            MissingMomentum(),
            BJets(),
            TaggerPerformance(),
            MissingMomentumPerformance(),
            TwoGoodJets(),
            Dijets(),
            Spectra(),
        ),
        keep=(
            # Patterns, as a file may lack them.
            "run*",
            "luminosityBlock*",
            "event*",
            "Jet_pt",
            "Jet_eta",
            "Jet_phi",
            "Jet_mass",
            "Jet_hadronFlavour*",
            "Jet_good",
            "Jet_sonic*",
            "GenMET_*",
            "SonicMET_*",
            "PlainMET_*",
            "WeightedMET_*",
            "Cands_*",
            "Event_*",
            "BJet_*",
            "Dijet_*",
        ),
        models=MODELS,
    )
