"""Inputs of the networks, from the branches of a PFNano file: the one definition, for training and for inference.

Pure: awkward arrays in, numpy arrays out. `events` is a record array with the branches that a function names as fields,
flat as in the file (``events.PFCands_pt``), from a real file or the simulation alike. Every value is finite whatever
the input holds.

==============  ==============================================================
jets            ParticleNet: jets, and wide ones
met             DeepMET: events
tau, tau_grids  DeepTau: tau candidates, and what is around them
tau_candidates  the candidates, from jets
==============  ==============================================================
"""

from __future__ import annotations

from sonic.workloads.features.jets import (
    JET_BRANCHES,
    MAX_JET_ETA,
    MAX_PARTICLES,
    MAX_VERTICES,
    MAX_WIDE_JET_ETA,
    PF_FEATURES,
    SV_FEATURES,
    WIDE_JET_BRANCHES,
    WIDE_MAX_PARTICLES,
    WIDE_MAX_VERTICES,
    WIDE_PF_FEATURES,
    jet_inputs,
    wide_jet_inputs,
)
from sonic.workloads.features.met import (
    MAX_CANDIDATES,
    MET_BRANCHES,
    MET_FEATURES,
    MET_PT,
    MET_PX,
    MET_SCALE_GEV,
    MET_VOCABULARIES,
    met_inputs,
)
from sonic.workloads.features.tau import TAU_BRANCHES, TAU_FEATURES, tau_inputs
from sonic.workloads.features.tau_candidates import CANDIDATE_BRANCHES, TauCandidates, tau_candidates
from sonic.workloads.features.tau_grids import CELL_FEATURES, TAU_GRIDS

__all__ = [
    "CANDIDATE_BRANCHES",
    "CELL_FEATURES",
    "JET_BRANCHES",
    "MAX_CANDIDATES",
    "MAX_JET_ETA",
    "MAX_PARTICLES",
    "MAX_VERTICES",
    "MAX_WIDE_JET_ETA",
    "MET_BRANCHES",
    "MET_FEATURES",
    "MET_PT",
    "MET_PX",
    "MET_SCALE_GEV",
    "MET_VOCABULARIES",
    "PF_FEATURES",
    "SV_FEATURES",
    "TAU_BRANCHES",
    "TAU_FEATURES",
    "TAU_GRIDS",
    "WIDE_JET_BRANCHES",
    "WIDE_MAX_PARTICLES",
    "WIDE_MAX_VERTICES",
    "WIDE_PF_FEATURES",
    "TauCandidates",
    "jet_inputs",
    "met_inputs",
    "tau_candidates",
    "tau_inputs",
    "wide_jet_inputs",
]
