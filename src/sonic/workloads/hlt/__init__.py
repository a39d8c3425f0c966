"""A path as in a high-level trigger, with three ways to reconstruct the hadron calorimeter.

============  ==========================================================================
drawn         collisions with drawn jets, where there is no Pythia
calorimeters  what particles leave in both calorimeters
sample        events for the workflow, with the truth
local         local reconstruction: pulse fit, FACILE, either as a service
jets          towers, jets, missing momentum, and the first filter
region        tracks around the leading jets, and their vertex
candidates    candidates for flavour tagging, from tracks and towers
decision      a menu of trigger paths
performance   jets, missing momentum and b jets against the truth; rates
workflow      all of it as a job
============  ==========================================================================

Energies and momenta are in GeV, lengths in mm unless a branch of PFNano has them in cm.
"""
