"""The workflow ``hlt``: a path as in a high-level trigger, from digis and hits to a decision.

Its heavy parts are offloaded: energies of the hadron calorimeter, the track fit, the flavour of jets.
"""

from __future__ import annotations

from sonic.framework import Workflow
from sonic.workloads import MODELS
from sonic.workloads.hlt.candidates import Candidates
from sonic.workloads.hlt.decision import Accept, Decision
from sonic.workloads.hlt.jets import CaloTowers, JetFilter, Jets, MissingMomentum
from sonic.workloads.hlt.local import FACILE, reconstruction
from sonic.workloads.hlt.performance import EnergyPerformance, Rates, TaggingPerformance
from sonic.workloads.hlt.region import RegionalFinder
from sonic.workloads.miniaod.offloads import Tagger
from sonic.workloads.tracking.workflow import TrackFit


def workflow(*, hcal: str = FACILE) -> Workflow:
    """Return the workflow ``hlt``.

    Parameters
    ----------
    hcal : str
        How energies in the hadron calorimeter are found: ``fit``, by the pulse fit in the job; ``pulse_fit``, by the
        pulse fit as a service; or by a FACILE, of which it is the model's name.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    return Workflow(
        name="hlt",
        modules=(
            reconstruction(hcal),
            CaloTowers(),
            Jets(),
            MissingMomentum(),
            EnergyPerformance(),
            JetFilter(),
            RegionalFinder(),
            TrackFit(),
            Candidates(),
            Tagger(),
            TaggingPerformance(),
            Decision(),
            Rates(),
            Accept(),
        ),
        keep=(
            "run*",
            "luminosityBlock*",
            "event*",
            "Event_*",
            "Jet_pt",
            "Jet_eta",
            "Jet_phi",
            "Jet_mass",
            "Jet_taggable",
            "Jet_sonic*",
            "Jet_trackCount",
            "Jet_nTracks",
            "CaloMET_*",
            "PV_*",
            "GenJet_*",
            "GenMET_*",
            "HLT_*",
        ),
        models=MODELS,
        chunk_size=10,  # of 3 MB each, as they are sent
    )
