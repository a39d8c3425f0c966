"""The endcap calorimeter of high granularity: simulated showers, found by a network and by the ordinary clustering.

============  ========================================================================
detector      the layers and their hexagonal cells
showers       how particles shower: profiles with their fluctuations
simulation    events with truth
hits          the hits of an event as arrays
sample        events as files
features      inputs of GravNet
condensation  showers from GravNet's outputs
density       showers by the density of hits, the ordinary clustering
energy        energies and places of clusters
matching      found against true
figures       efficiency, fakes, response and resolution
workflow      all of it as a job, with GravNet offloaded
plots         event displays, efficiencies and responses (extra ``plots``)
============  ========================================================================

Lengths are in cm. A hit's energy is in what a minimum-ionising particle leaves (MIP), a shower's in GeV. Places across
are given where a line from the origin, in which all particles begin, enters the front face.
"""
