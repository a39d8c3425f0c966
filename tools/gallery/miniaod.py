"""Flavour tagging and missing momentum, by the networks that ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

import sonic
from sonic.workloads import MODELS, plots
from sonic.workloads.features import jet_inputs
from sonic.workloads.figures import roc
from sonic.workloads.miniaod.modules import GOOD_JET_PT_GEV, TAGGER_MAX_ETA
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import simulate
from sonic.workloads.truth import CLASSES, discriminants, jet_classes
from sonic.workloads.zoo import network

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_MODEL = f"local:{MODELS}/particlenet-ak4"
_METHODS = {"deepmet": "DeepMET", "plain_sum": "plain sum", "puppi": "sum with PUPPI weights"}


def tagger() -> Figure:
    """Draw how many other jets pass where so many b jets do, in top-quark events."""
    events = simulate(find("tt"), 500, seed=77)
    chosen = (np.abs(events.Jet_eta) < TAGGER_MAX_ETA) & (events.Jet_pt > GOOD_JET_PT_GEV)
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


PICTURES: dict[str, Callable[[], Figure]] = {"miniaod-tagger": tagger, "miniaod-met": met}
