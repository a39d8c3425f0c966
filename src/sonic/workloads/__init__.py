"""The physics that Sonic comes with: workflows, networks, and the events they are trained on.

===============  ==================================================================
miniaod          the main job: flavour tagging and missing momentum in PFNano files
features, truth  inputs of the networks and classes of jets, from branches
zoo              the networks by name: list, build, train
networks         in PyTorch (extra ``torch``)
training         on generated events (extra ``train``)
simulation       Pythia and a simple detector (extra ``generate``)
tracking         charged tracks in a barrel: simulated, found, fitted as a service
hcal             hadron-calorimeter channels: simulated, fitted as a service
hlt              a trigger-like path: HCAL, jets, tracks around them, flavour, decision
ecal             energies of electrons: simulated, summed up, found as a service
toptag           top quarks among wide jets: images, tagged as a service
hgcal            showers in an endcap calorimeter: simulated, found as a service
lartpc           hits in liquid argon: simulated, told apart as a service
figures, plots   figures of merit, and pictures (extra ``plots``)
===============  ==================================================================
"""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"
"""Repository of the models that ship, in Triton's layout: trained networks, algorithms served like them, and DeepTau
with random weights."""
