"""Flavour tagging and missing momentum, by the networks that ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

import sonic
from sonic.workloads import MODELS, plots
from sonic.workloads.features import (
    MAX_JET_ETA,
    MAX_WIDE_JET_ETA,
    TAU_BRANCHES,
    jet_inputs,
    tau_inputs,
    wide_jet_inputs,
)
from sonic.workloads.figures import roc
from sonic.workloads.miniaod.modules import GOOD_JET_PT_GEV
from sonic.workloads.miniaod.plots import tau_grids
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import simulate
from sonic.workloads.truth import CLASSES, WIDE_CLASSES, discriminants, jet_classes, wide_discriminants
from sonic.workloads.zoo import network

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_MODEL = f"local:{MODELS}/particlenet-ak4"
_METHODS = {"deepmet": "DeepMET", "plain_sum": "plain sum", "puppi": "sum with PUPPI weights"}


def tagger() -> Figure:
    """Draw how many other jets pass where so many b jets do, in top-quark events."""
    events = simulate(find("tt"), 500, seed=77)
    chosen = (np.abs(events.Jet_eta) < MAX_JET_ETA) & (events.Jet_pt > GOOD_JET_PT_GEV)
    with sonic.Model(_MODEL) as model:
        scores = discriminants(model(**jet_inputs(events, chosen))["softmax"])["b"]
    classes = np.array(CLASSES)[jet_classes(events)[np.asarray(ak.flatten(chosen), bool)]]
    b = np.isin(classes, ("b", "bb"))
    others = {"light quarks and gluons": ("uds", "g"), "charm": ("c", "cc")}
    curves = {label: roc(scores[b], scores[np.isin(classes, names)]) for label, names in others.items()}
    return plots.roc_curves(curves, f"b jets above {GOOD_JET_PT_GEV:g} GeV, ParticleNet")


def met() -> Figure:
    """Draw resolution and response of missing momentum, as the training found them on events of its own."""
    found = network("deepmet").metrics()["met_in_gen_met_gev"]
    edges = np.array(found["deepmet"]["edges"])
    curves = {
        label: (np.array(found[name]["width_gev"]), np.array(found[name]["response"]))
        for name, label in _METHODS.items()
    }
    return plots.met_resolution(edges, curves)


def wide_tagger() -> Figure:
    """Draw how many jets of quarks and gluons pass where so many of tops, W and Higgs bosons do."""
    signals = {"top": ("tops", "tt_high", "T"), "w": ("W", "vh_ww", "W"), "hbb": ("Higgs to b quarks", "vh_bb", "Hbb")}
    found = {name: _wide(name) for name in ("qcd_400", *(process for _, process, _ in signals.values()))}
    curves = {}
    for score, (label, process, prefix) in signals.items():
        names, scores = found[process]
        plain, background = found["qcd_400"]
        chosen = np.char.startswith(names, prefix) & ~np.isin(names, ("Tbel", "Tbmu", "Tbta"))
        curves[label] = roc(scores[score][chosen], background[score][np.char.startswith(plain, "QCD")])
    return plots.roc_curves(curves, "wide jets above 170 GeV, ParticleNet AK8 as it ships")


def _wide(process: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Names of the classes of wide jets, and their discriminants."""
    events = simulate(find(process), 250, seed=77)
    with sonic.Model(f"local:{MODELS}/particlenet-ak8") as model:
        chosen = np.abs(events.FatJet_eta) < MAX_WIDE_JET_ETA
        scores = wide_discriminants(model(**wide_jet_inputs(events, chosen))["softmax"])
    return np.array([*WIDE_CLASSES, ""])[np.asarray(ak.flatten(events.FatJet_truthClass[chosen]))], scores


def tau() -> Figure:
    """Draw what DeepTau sees around a candidate of three charged hadrons."""
    with uproot.open(Path(__file__).parents[2] / "demo" / "generated.root") as file:
        events = file["Events"].arrays([*dict.fromkeys(TAU_BRANCHES)])
    return tau_grids(tau_inputs(events), 2)


PICTURES: dict[str, Callable[[], Figure]] = {
    "miniaod-tagger": tagger,
    "miniaod-wide-tagger": wide_tagger,
    "miniaod-met": met,
    "miniaod-tau-grids": tau,
}
