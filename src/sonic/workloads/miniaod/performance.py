"""How well the job's networks do, event by event into histograms: memory does not grow with the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import numpy as np

from sonic.framework import Analyzer
from sonic.workloads.networks.catalogue import network
from sonic.workloads.truth import FLAVOURS, WIDE_CLASSES
from sonic.workloads.uncertainties import area, central_of_histogram, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonic.framework import Measured

_SCORE_BINS = 2000
_FEW = 10


class TaggerPerformance(Analyzer):
    """Discriminants of jets within the tracker by true flavour, ours beside those that CMSSW stored.

    Without ``Jet_hadronFlavour`` there is nothing to compare and nothing is reported.
    """

    name = "tagger_performance"
    consumes = ("Jet_taggable", "Jet_good", "Jet_sonicB", "Jet_sonicCvL", "Jet_sonicIsB")
    optional = ("Jet_hadronFlavour", "Jet_btagDeepFlavB", "Jet_btagDeepFlavCvL", "Jet_btagDeepB")
    _b_scores: tuple[tuple[str, str], ...] = (
        ("ParticleNet", "Jet_sonicB"),
        ("DeepFlavour (CMSSW)", "Jet_btagDeepFlavB"),
        ("DeepCSV (CMSSW)", "Jet_btagDeepB"),
    )
    _c_scores: tuple[tuple[str, str], ...] = (
        ("ParticleNet", "Jet_sonicCvL"),
        ("DeepFlavour (CMSSW)", "Jet_btagDeepFlavCvL"),
    )

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill a histogram of score against flavour for each discriminant, and count tagged jets by flavour."""
        if "Jet_hadronFlavour" not in events.fields:
            return {}
        taggable, good = events.Jet_taggable, events.Jet_good
        flavour = np.asarray(ak.flatten(events.Jet_hadronFlavour[taggable]))
        filled: dict[str, Any] = {}
        for _, branch in (*self._b_scores, *self._c_scores):
            if branch in events.fields:
                histogram: Any = hist.Hist(
                    hist.axis.Regular(_SCORE_BINS, 0.0, 1.0, name="score", label=branch),
                    hist.axis.IntCategory(list(FLAVOURS), name="flavour"),
                )
                # Values that CMSSW gives for "none" are below 0, and go to the first bin.
                score = np.clip(np.asarray(ak.flatten(events[branch][taggable]), np.float64), 0.0, 1.0 - 1e-9)
                filled[branch] = histogram.fill(score=score, flavour=flavour)
        flavour = np.asarray(ak.flatten(events.Jet_hadronFlavour[good]))
        tagged = np.asarray(ak.flatten(events.Jet_sonicIsB[good]), bool)
        counts: Any = hist.Hist(hist.axis.IntCategory(list(FLAVOURS), name="flavour"), hist.axis.Boolean(name="tagged"))
        filled["tagged"] = counts.fill(flavour=flavour, tagged=tagged)
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Areas under ROC curves, and how many good jets of each flavour there were and were tagged."""
        if not total:
            return {}
        rows: dict[str, float | int | str] = {}
        counts = {name: total["tagged"][hist.loc(code), :].values() for code, name in FLAVOURS.items()}
        for name, (missed, tagged) in counts.items():
            number = int(missed + tagged)
            efficiency = f", {share(tagged, number)}" if number else ""
            rows[f"good {name} jets tagged as b"] = f"{int(tagged)} of {number}{efficiency}"
        for signal, scores in (("b", self._b_scores), ("c", self._c_scores)):
            for label, branch in scores:
                if branch in total:
                    found, light = (_of_flavour(total[branch], name) for name in (signal, "light"))
                    value = area(found, light)
                    rows[f"AUC {signal} against light, {label}"] = _worded(value, signal, int(found.sum()))
        return rows


class WideTaggerPerformance(Analyzer):
    """Discriminants of wide jets by what they hold, where the file says so, which is where Sonic generated it.

    Without ``FatJet_truthClass`` there is nothing to compare and only the number of jets is reported.
    """

    name = "wide_tagger_performance"
    consumes = ("FatJet_taggable", "FatJet_sonicTvsQCD", "FatJet_sonicWvsQCD", "FatJet_sonicHbbvsQCD")
    optional = ("FatJet_truthClass",)
    _scores: tuple[tuple[str, str, str], ...] = (
        ("top", "T", "FatJet_sonicTvsQCD"),
        ("W", "W", "FatJet_sonicWvsQCD"),
        ("H to bb", "Hbb", "FatJet_sonicHbbvsQCD"),
    )

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill a histogram of score for each signal and for quarks and gluons."""
        taggable = events.FatJet_taggable
        filled: dict[str, Any] = {"jets": int(ak.sum(taggable))}
        if "FatJet_truthClass" not in events.fields:
            return filled
        known = np.array([*WIDE_CLASSES, ""])
        name = known[np.asarray(ak.flatten(events.FatJet_truthClass[taggable]))]
        leptonic = np.isin(name, ("Tbel", "Tbmu", "Tbta"))
        for label, prefix, branch in self._scores:
            score = np.asarray(ak.flatten(events[branch][taggable]), np.float64)
            for which, chosen in (("signal", np.char.startswith(name, prefix) & ~leptonic), ("qcd", _is_qcd(name))):
                axis = hist.axis.Regular(_SCORE_BINS, 0.0, 1.0, name="score", label=f"{branch}, {which}")
                filled[f"{label} {which}"] = hist.Hist(axis).fill(np.clip(score[chosen], 0.0, 1.0 - 1e-9))
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Areas under ROC curves."""
        rows: dict[str, float | int | str] = {"wide jets": total["jets"]}
        for label, _, _ in self._scores:
            if f"{label} qcd" in total:
                signal, qcd = (total[f"{label} {which}"].values() for which in ("signal", "qcd"))
                rows[f"AUC {label} against QCD"] = _worded(area(signal, qcd), label, int(signal.sum()))
        return rows


def _is_qcd(name: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.char.startswith(name, "QCD")
    return found


class TauCount(Analyzer):
    """How many tau candidates there were, and what DeepTau's scores are worth."""

    name = "tau_candidates"
    consumes = ("TauCand_pt",)

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Count."""
        return {"candidates": int(ak.count(events.TauCand_pt))}

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Numbers, and a word on the weights that ship."""
        weights = network("deeptau").metrics().get("weights", "unknown")
        return {"tau candidates": total["candidates"], "weights of DeepTau as it ships": weights}


def _of_flavour(histogram: Any, name: str) -> np.ndarray:
    code = next(code for code, known in FLAVOURS.items() if known == name)
    values: np.ndarray = histogram[:, hist.loc(code)].values()
    return values


def _worded(auc: Measured, signal: str, number: int) -> Measured | str:
    """Give an area, or in words why it says little."""
    if number == 0:
        return f"no {signal} jets"
    if not np.isfinite(auc):
        return "no light jets"
    return auc if number >= _FEW else f"{auc}, of only {number} {signal} jets"


class MissingMomentumPerformance(Analyzer):
    """Residuals of missing momentum against the truth, ours beside those that CMSSW stored.

    Without ``GenMET_pt`` there is nothing to compare and nothing is reported.
    """

    name = "met_performance"
    consumes = ("SonicMET_pt", "SonicMET_phi", "PlainMET_pt", "PlainMET_phi", "WeightedMET_pt", "WeightedMET_phi")
    _estimators: tuple[tuple[str, str], ...] = (
        ("DeepMET", "SonicMET"),
        ("plain sum", "PlainMET"),
        ("PUPPI weights", "WeightedMET"),
        ("PF, corrected (CMSSW)", "MET"),
        ("PUPPI (CMSSW)", "PuppiMET"),
        ("DeepMET resolution tune (CMSSW)", "DeepMETResolutionTune"),
        ("DeepMET response tune (CMSSW)", "DeepMETResponseTune"),
    )
    optional = (
        "GenMET_pt",
        "GenMET_phi",
        *(f"{name}_{part}" for _, name in _estimators[3:] for part in ("pt", "phi")),
    )

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill a histogram of the components' residuals for each estimator."""
        if not {"GenMET_pt", "GenMET_phi"} <= set(events.fields):
            return {}
        true = components(events, "GenMET")
        filled: dict[str, Any] = {}
        for _, name in self._estimators:
            if {f"{name}_pt", f"{name}_phi"} <= set(events.fields):
                axis = hist.axis.Regular(2000, -1000.0, 1000.0, name="residual", label=f"{name} - GenMET (GeV)")
                filled[name] = hist.Hist(axis).fill((components(events, name) - true).ravel())
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Half the central 68 % of each estimator's residuals, GeV."""
        rows: dict[str, float | int | str] = {}
        for label, name in self._estimators:
            if name in total and total[name].sum(flow=True):
                edges = total[name].axes[0].edges
                rows[f"MET residual (GeV), {label}"] = central_of_histogram(total[name].values(flow=True), edges).width
        return rows


def components(events: ak.Array, name: str) -> NDArray[np.float64]:
    """Return a missing momentum's components [2, events] in GeV, of the branches ``NAME_pt`` and ``NAME_phi``."""
    pt, phi = (np.asarray(events[f"{name}_{part}"], np.float64) for part in ("pt", "phi"))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)])


class Spectra(Analyzer):
    """Histograms of what a physicist looks at first."""

    name = "spectra"
    consumes = ("Jet_pt", "Jet_good", "Jet_sonicB", "SonicMET_pt", "Event_ht", "BJet_pt", "Dijet_mass", "Dijet_nB")

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill them."""

        def filled(values: ak.Array, bins: int, low: float, high: float, label: str) -> Any:
            flat = np.asarray(ak.flatten(values, axis=None), np.float64)
            return hist.Hist(hist.axis.Regular(bins, low, high, name="x", label=label)).fill(flat)

        two_b = events.Dijet_mass[events.Dijet_nB == 2]
        return {
            "jet_pt": filled(events.Jet_pt[events.Jet_good], 100, 0.0, 2000.0, "jet pT (GeV)"),
            "jet_b": filled(events.Jet_sonicB[events.Jet_good], 50, 0.0, 1.0, "b discriminant"),
            "b_jet_pt": filled(events.BJet_pt, 100, 0.0, 1000.0, "b jet pT (GeV)"),
            "met": filled(events.SonicMET_pt, 100, 0.0, 500.0, "missing pT (GeV)"),
            "ht": filled(events.Event_ht, 100, 0.0, 5000.0, "scalar sum of jet pT (GeV)"),
            "dijet_mass": filled(events.Dijet_mass, 100, 0.0, 5000.0, "dijet mass (GeV)"),
            "dijet_mass_two_b": filled(two_b, 100, 0.0, 1000.0, "mass of two b jets (GeV)"),
        }

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Numbers of good jets, b jets and pairs of b jets."""
        names = {"jet_pt": "good jets", "b_jet_pt": "b jets", "dijet_mass_two_b": "pairs of b jets"}
        return {label: int(total[name].sum(flow=True)) for name, label in names.items()}
