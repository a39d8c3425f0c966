"""Inputs of DeepMET: all candidates of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.client.conversion.ragged import lay, places
from sonic.workloads.features.flat import fields, finite, flat, integers

if TYPE_CHECKING:
    import awkward as ak
    from numpy.typing import NDArray

    from sonic.workloads.features.flat import Floats, Ints

MET_BRANCHES: tuple[str, ...] = tuple(
    f"PFCands_{name}"
    for name in (
        *("pt", "eta", "phi", "mass", "charge", "pdgId"),
        *("puppiWeight", "pvAssocQuality", "trkQuality", "d0", "dz"),
    )
)
"""Branches that :func:`met_inputs` reads."""

MET_FEATURES = ("dxy", "dz", "eta", "mass", "pt", "puppi_weight", "px", "py")
"""Continuous features of a candidate: asinh(dxy / 100 um), asinh(dz / 1 mm), momenta in units of 50 GeV."""

MET_PT = MET_FEATURES.index("pt")
MET_PX = MET_FEATURES.index("px")
MET_SCALE_GEV = 50.0
MAX_CANDIDATES = 4500
_PDG_CODES = (-211, -13, -11, 0, 1, 2, 11, 13, 22, 130, 211)
MET_VOCABULARIES = (3, len(_PDG_CODES), 4)
"""Number of values of the categories: charge (-1, 0, 1), kind of candidate, and how it belongs to the primary vertex
(0 not, 1 loosely, 2 tightly, 3 used in its fit or neutral)."""


def met_inputs(events: ak.Array) -> dict[str, NDArray[np.float32] | NDArray[np.int32]]:
    """Build the inputs of DeepMET for events.

    Parameters
    ----------
    events : ak.Array
        With :data:`MET_BRANCHES`.

    Returns
    -------
    dict of arrays
        ``input`` [N, 4500, 8] float32 (:data:`MET_FEATURES`), ``input_cat0``, ``input_cat1``, ``input_cat2``
        [N, 4500, 1] int32 (see :data:`MET_VOCABULARIES`), zero where there is no candidate. Beyond 4500 candidates
        those of highest transverse momentum are taken.
    """
    counts, c = flat(events, "PFCands", fields(MET_BRANCHES, "PFCands"))
    where = places(counts, MAX_CANDIDATES, c["pt"], only_to_cut=True)
    detailed = (c["charge"] != 0) & (c["trkQuality"] > 0)
    scaled = c["pt"] / MET_SCALE_GEV
    features = (
        np.arcsinh(np.where(detailed, c["d0"], 0.0) / 0.01),
        np.arcsinh(np.where(detailed, c["dz"], 0.0) / 0.1),
        c["eta"],
        np.clip(c["mass"], 0.0, 1.0),
        scaled,
        np.clip(c["puppiWeight"], 0.0, 1.0),
        scaled * np.cos(c["phi"]),
        scaled * np.sin(c["phi"]),
    )
    inputs = {"input": lay(where, finite(np.stack(features)), np.float32, axis=2)}
    categories = {f"input_cat{i}": lay(where, [codes], np.int32, axis=2) for i, codes in enumerate(_categories(c))}
    return inputs | categories


def _categories(c: dict[str, Floats]) -> tuple[Ints, Ints, Ints]:
    """Codes of charge, kind and relation to the primary vertex; unknown kinds count as 0, "none"."""
    charge = np.sign(finite(c["charge"])).astype(np.int64) + 1
    codes = np.array(_PDG_CODES)
    pdg_id = integers(c["pdgId"])
    at = np.minimum(np.searchsorted(codes, pdg_id), len(codes) - 1)
    kind = np.where(codes[at] == pdg_id, at, _PDG_CODES.index(0))
    quality = c["pvAssocQuality"]
    fit = np.select([quality >= 6, quality >= 4], [3, 2], 1)
    vertex = np.where(c["charge"] == 0, 3, np.where(c["puppiWeight"] > 0, fit, 0))
    return charge, kind, vertex
