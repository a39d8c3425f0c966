"""How well the path does: jets, missing momentum and b jets against the truth, and how often paths accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import numpy as np

from sonic.framework import Analyzer
from sonic.workloads.hlt.decision import PATHS
from sonic.workloads.miniaod.performance import components
from sonic.workloads.simulation.jets import match
from sonic.workloads.truth import FLAVOURS
from sonic.workloads.uncertainties import area, central_of_histogram, share

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUE_PT_GEV, TRUE_ETA = 40.0, 2.5
_NEAR = 0.2
_TRUTH = tuple(f"GenJet_{part}" for part in ("pt", "eta", "phi", "hadronFlavour"))
_SCORES = (("ParticleNet", "Jet_sonicB", 0.0, 1.0), ("track counting", "Jet_trackCount", 0.0, 50.0))
_BINS = 1000


class EnergyPerformance(Analyzer):
    """Jets and missing momentum against the truth, where the file has it."""

    name = "energy_performance"
    consumes = ("Jet_pt", "Jet_eta", "Jet_phi", "CaloMET_pt", "CaloMET_phi")
    optional = (*_TRUTH, "GenMET_pt", "GenMET_phi")

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill histograms of what is found over what is true, and of residuals."""
        filled: dict[str, Any] = {}
        if set(_TRUTH) <= set(events.fields):
            true = _true_jets(events)
            index = match(true, _jets(events), _NEAR)
            response = events.Jet_pt[index[index >= 0]] / true.pt[index >= 0]
            axis = hist.axis.Regular(_BINS, 0.0, 3.0, name="response", label="jet pT found / true")
            filled["response"] = hist.Hist(axis).fill(np.asarray(ak.flatten(response)))
            filled["true_jets"] = int(ak.sum(ak.num(true)))
        if {"GenMET_pt", "GenMET_phi"} <= set(events.fields):
            axis = hist.axis.Regular(_BINS, -500.0, 500.0, name="residual", label="CaloMET - GenMET (GeV)")
            residual = components(events, "CaloMET") - components(events, "GenMET")
            filled["met"] = hist.Hist(axis).fill(residual.ravel())
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Efficiency, response and resolution of jets; resolution of missing momentum, GeV."""
        rows: dict[str, float | int | str] = {}
        if total.get("true_jets"):
            counts, edges = total["response"].values(flow=True), total["response"].axes[0].edges
            rows[f"true jets above {TRUE_PT_GEV:g} GeV"] = total["true_jets"]
            rows["of these found"] = share(counts.sum(), total["true_jets"])
            if counts.sum():
                response = central_of_histogram(counts, edges)
                rows["jet pT found / true, median"] = response.median
                rows["its resolution"] = response.relative
        if "met" in total and total["met"].sum(flow=True):
            residual = central_of_histogram(total["met"].values(flow=True), total["met"].axes[0].edges)
            rows["MET residual (GeV)"] = residual.width
        return rows


class TaggingPerformance(Analyzer):
    """Tagged jets by the flavour of the true jet, where the file has it: the network, and counting of tracks."""

    name = "tagging_performance"
    consumes = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_taggable", "Jet_sonicB", "Jet_trackCount", "Jet_nTracks")
    optional = _TRUTH

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill a histogram of score against flavour for both."""
        if not set(_TRUTH) <= set(events.fields):
            return {}
        index = match(_jets(events), _all_true_jets(events), _NEAR)
        chosen = events.Jet_taggable & (index >= 0)
        flavour = np.asarray(ak.flatten(events.GenJet_hadronFlavour[index[chosen]]))
        filled: dict[str, Any] = {"tracks": int(ak.sum(events.Jet_nTracks[chosen])), "jets": len(flavour)}
        for _, branch, low, high in _SCORES:
            axes = (
                hist.axis.Regular(_BINS, low, high, name="score", label=branch),
                hist.axis.IntCategory(list(FLAVOURS), name="flavour"),
            )
            score = np.clip(np.asarray(ak.flatten(events[branch][chosen]), np.float64), low, high - 1e-9)
            filled[branch] = hist.Hist(*axes).fill(score=score, flavour=flavour)
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Numbers of jets, and areas under ROC curves."""
        if not total or not total["jets"]:
            return {}
        rows: dict[str, float | int | str] = {}
        counts = {name: total[_SCORES[0][1]][:, hist.loc(code)].values() for code, name in FLAVOURS.items()}
        rows["jets tagged, by flavour"] = ", ".join(f"{int(one.sum())} {name}" for name, one in counts.items())
        rows["tracks in a jet"] = total["tracks"] / total["jets"]
        for label, branch, *_ in _SCORES:
            found, light = (total[branch][:, hist.loc(code)].values() for code in (5, 0))
            value = area(found, light)
            rows[f"AUC b against light, {label}"] = value if np.isfinite(value) else "b or light jets are missing"
        return rows


class Rates(Analyzer):
    """Events that each path accepts."""

    name = "rates"
    consumes = (*(f"HLT_{path}" for path in PATHS), "HLT_any")

    def analyze(self, events: ak.Array) -> dict[str, int]:
        """Count."""
        return {name: int(ak.sum(events[name])) for name in self.consumes}

    def summarize(self, total: Mapping[str, int]) -> Mapping[str, float | int | str]:
        """Give the counts."""
        return {f"accepted by {name.removeprefix('HLT_')}": number for name, number in total.items()}


def _jets(events: ak.Array) -> ak.Array:
    return ak.zip({name: events[f"Jet_{name}"] for name in ("pt", "eta", "phi")})


def _all_true_jets(events: ak.Array) -> ak.Array:
    return ak.zip({name: events[f"GenJet_{name}"] for name in ("pt", "eta", "phi")})


def _true_jets(events: ak.Array) -> ak.Array:
    jets = _all_true_jets(events)
    return jets[(jets.pt > TRUE_PT_GEV) & (np.abs(jets.eta) < TRUE_ETA)]
