"""Top tagging: mean images of jets, and ROC curves."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

import sonic
from sonic.workloads import MODELS
from sonic.workloads.figures import roc
from sonic.workloads.plots import roc_curves
from sonic.workloads.simulation.processes import find
from sonic.workloads.simulation.sample import simulate
from sonic.workloads.toptag import plots
from sonic.workloads.toptag.images import constituents, images
from sonic.workloads.toptag.sample import QCD, TOP
from sonic.workloads.toptag.substructure import score, substructure
from sonic.workloads.toptag.workflow import MAX_ETA, PT_GEV, truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sonic.workloads.toptag.images import Constituents

_KINDS = {"top quarks": (TOP, 1, 300), "quarks and gluons": (QCD, 0, 130)}


@cache
def sample() -> dict[str, tuple[Constituents, NDArray[np.float64]]]:
    """Return particles of jets of both kinds, and the jets' eta."""
    made = {}
    for kind, (process, label, events) in _KINDS.items():
        block = simulate(find(process), events, seed=41)
        what, pt, eta = (np.asarray(ak.flatten(block[f"FatJet_{n}"])) for n in ("truthClass", "pt", "eta"))
        kept = (truth(what) == label) & (pt > PT_GEV[0]) & (pt < PT_GEV[1]) & (np.abs(eta) < MAX_ETA)
        made[kind] = constituents(block, kept), eta[kept].astype(np.float64)
    return made


def mean_images() -> Figure:
    """Mean images of both kinds."""
    return plots.jet_images({kind: images(particles) for kind, (particles, _) in sample().items()})


def curves() -> Figure:
    """ROC curves of the network and of the ordinary tagger."""
    ours, ordinary = {}, {}
    with sonic.Model(f"local:{MODELS}/resnet50") as model:
        for kind, (particles, eta) in sample().items():
            ours[kind] = model(images=images(particles))["probabilities"][:, 0]
            found = substructure(particles, eta)
            ordinary[kind] = score(found.mass_gev, found.tau2, found.tau3)
    both = {"ResNet-50, a sixteenth as wide": ours, "soft-drop mass and tau32": ordinary}
    return roc_curves({name: roc(*each.values()) for name, each in both.items()}, "top quarks, 400 to 800 GeV")


PICTURES: dict[str, Callable[[], Figure]] = {"toptag-images": mean_images, "toptag-roc": curves}
