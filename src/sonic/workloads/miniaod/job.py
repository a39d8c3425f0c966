"""The workflows: with the networks that every job needs, and with all four of the study of CMS's MiniAOD production."""

from __future__ import annotations

from sonic.framework import Workflow
from sonic.workloads import MODELS
from sonic.workloads.miniaod.modules import (
    BJets,
    CandidateSums,
    Dijets,
    JetSelection,
    TauSelection,
    TwoGoodJets,
    WideJetSelection,
)
from sonic.workloads.miniaod.offloads import MissingMomentum, Tagger, TauIdentification, WideTagger
from sonic.workloads.miniaod.performance import (
    MissingMomentumPerformance,
    Spectra,
    TaggerPerformance,
    TauCount,
    WideTaggerPerformance,
)

_KEEP = (
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
)
CHUNK_EVENTS = 10
"""Of ``miniaod-full``: what DeepTau is sent of so many events is 13 MB."""

_WIDE_KEEP = (
    "FatJet_pt",
    "FatJet_eta",
    "FatJet_phi",
    "FatJet_mass",
    "FatJet_truthClass*",
    "FatJet_sonic*",
    "TauCand_*",
)


def workflow() -> Workflow:
    """Return the workflow ``miniaod``: flavour of jets and missing momentum."""
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
        keep=_KEEP,
        models=MODELS,
    )


def full() -> Workflow:
    """Return the workflow ``miniaod-full``: wide jets and taus as well."""
    return Workflow(
        name="miniaod-full",
        modules=(
            CandidateSums(),
            JetSelection(),
            WideJetSelection(),
            TauSelection(),
            Tagger(),
            WideTagger(),
            MissingMomentum(),
            TauIdentification(),
            BJets(),
            TaggerPerformance(),
            WideTaggerPerformance(),
            MissingMomentumPerformance(),
            TauCount(),
            TwoGoodJets(),
            Dijets(),
            Spectra(),
        ),
        keep=(*_KEEP, *_WIDE_KEEP),
        models=MODELS,
        chunk_size=CHUNK_EVENTS,
    )
