"""The classes that the tagger gives: scores that separate them, and the truth from a simulated file's branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAVOURS = {5: "b", 4: "c", 0: "light"}
"""Of a jet by ``hadronFlavour``: the heaviest hadron in it, by the PDG code of its quark."""
CLASSES = ("b", "bb", "c", "cc", "uds", "g", "undef", "pu")
"""Classes of the tagger, in the order of its outputs."""

# fmt: off
WIDE_CLASSES = (
    "Tbcq", "Tbqq", "Tbc", "Tbq", "Tbel", "Tbmu", "Tbta",
    "Wcq", "Wqq",
    "Zbb", "Zcc", "Zqq",
    "Hbb", "Hcc", "Hqqqq",
    "QCDbb", "QCDcc", "QCDb", "QCDc", "QCDothers",
)
# fmt: on
"""Classes of the tagger of wide jets, in the order of its outputs: what the jet holds, and into what it decayed."""

TRUTH_BRANCHES = (
    "Jet_hadronFlavour",
    "Jet_partonFlavour",
    "Jet_nBHadrons",
    "Jet_nCHadrons",
    "Jet_genJetIdx",
)


def jet_classes(events: ak.Array) -> NDArray[np.int64]:
    """Return the class of every jet, flat, as an index into :data:`CLASSES`.

    Heavy hadrons decide first, then the parton; a jet with neither a heavy hadron nor a generator jet is pile-up.

    Parameters
    ----------
    events : ak.Array
        With :data:`TRUTH_BRANCHES`.
    """
    hadron, parton, bottom, charm, matched = (
        np.asarray(ak.flatten(events[branch])).astype(np.int64) for branch in TRUTH_BRANCHES
    )
    parton = np.abs(parton)
    conditions = [
        (hadron == 5) & (bottom < 2),
        hadron == 5,
        (hadron == 4) & (charm < 2),
        hadron == 4,
        matched < 0,
        (parton >= 1) & (parton <= 3),
        parton == 21,
    ]
    names = ["b", "bb", "c", "cc", "pu", "uds", "g"]
    return np.select(conditions, [CLASSES.index(name) for name in names], CLASSES.index("undef"))


def wide_discriminants(scores: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Scores [N] that separate wide jets from those of quarks and gluons, from probabilities [N, 20], by name.

    ``top``, ``w``, ``z`` and ``higgs`` are of all hadronic decays, ``hbb`` of that to bottom quarks alone.
    """
    signals = {"top": ("Tbcq", "Tbqq", "Tbc", "Tbq"), "hbb": ("Hbb",)}
    signals |= {name: tuple(c for c in WIDE_CLASSES if c[0] == name[0].upper()) for name in ("w", "z", "higgs")}
    background = [i for i, name in enumerate(WIDE_CLASSES) if name.startswith("QCD")]
    qcd = scores[:, background].sum(axis=1)
    found = {}
    for name, classes in signals.items():
        signal = scores[:, [WIDE_CLASSES.index(c) for c in classes]].sum(axis=1)
        found[name] = signal / (signal + qcd + np.float32(1e-9))
    return found


def discriminants(scores: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Scores [N] that separate one flavour from another, from probabilities [N, 8], by name: b, cvl, cvb."""
    p = dict(zip(CLASSES, scores.T, strict=True))
    b, c, light = p["b"] + p["bb"], p["c"] + p["cc"], p["uds"] + p["g"]
    tiny = np.float32(1e-9)
    return {
        "b": b / (b + c + light + tiny),
        "cvl": c / (c + light + tiny),
        "cvb": c / (c + b + tiny),
    }
