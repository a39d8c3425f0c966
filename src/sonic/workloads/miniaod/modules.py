"""What the job does besides its networks: sums, selections, pairs. All of it runs in the job."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import vector

from sonic.framework import Filter, Producer
from sonic.workloads.features import CANDIDATE_BRANCHES, MAX_JET_ETA, MAX_WIDE_JET_ETA, tau_candidates
from sonic.workloads.features.tau_candidates import TauCandidates
from sonic.workloads.networks.catalogue import network

if TYPE_CHECKING:
    from sonic.framework.module import Columns

vector.register_awkward()

GOOD_JET_PT_GEV = 30.0
_DEFAULT_B_CUT = 0.5


@cache
def b_cut() -> float:
    """Cut on ``Jet_sonicB`` that one in a hundred generated light jets passes, from the tagger's metrics."""
    cuts = network("particlenet-ak4").metrics().get("b_cut_at_light_mistag", {})
    return float(cuts.get("0.01", _DEFAULT_B_CUT))


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
        taggable = np.abs(events.Jet_eta) < MAX_JET_ETA
        good = taggable & (events.Jet_pt > GOOD_JET_PT_GEV)
        return {
            "Jet_taggable": taggable,
            "Jet_good": good,
            "Event_nGoodJets": ak.values_astype(ak.sum(good, axis=1), np.int32),
            "Event_ht": ak.values_astype(ak.sum(events.Jet_pt * good, axis=1), np.float32),
        }


class WideJetSelection(Producer):
    """Which wide jets can be tagged."""

    name = "wide_jets"
    consumes = ("FatJet_eta",)
    produces = ("FatJet_taggable",)

    def produce(self, events: ak.Array) -> Columns:
        """Select the wide jets within the tracker."""
        return {"FatJet_taggable": np.abs(events.FatJet_eta) < MAX_WIDE_JET_ETA}


class TauSelection(Producer):
    """Tau candidates, made of jets."""

    name = "taus"
    consumes = CANDIDATE_BRANCHES
    produces = tuple(f"TauCand_{name}" for name in TauCandidates._fields[1:])

    def produce(self, events: ak.Array) -> Columns:
        """Make the candidates; of what, see :class:`sonic.workloads.features.TauCandidates`."""
        counts, *columns = tau_candidates(events)
        return {name: ak.unflatten(column, counts) for name, column in zip(self.produces, columns, strict=True)}


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
