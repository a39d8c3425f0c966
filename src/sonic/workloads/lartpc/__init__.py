"""Liquid-argon time projection chambers: particles simulated on three wire planes, hits found and told apart.

===========  ====================================================================================
chamber      the box of argon, its planes, drift, diffusion and noise
tracks       heavy particles: energy loss, range, scattering
showers      electrons and photons, step by step
particles    what an event is made of, and what its particles leave behind
readout      charge on wires and samples
hits         peaks on wires
simulation   events with truth
patches      what the network sees: 48 x 48 pixels around each hit
linearity    the ordinary algorithm: how straight is it around a hit?
performance  hits told apart, against the truth
stored       the scores in ProtoDUNE's analysis files
sample       simulated events as a file
workflow     all of it as a job, with the network offloaded
plots        event displays, scores (extra ``plots``)
===========  ====================================================================================

Lengths are in mm, energies in MeV, charges in thousands of electrons (ke). A sample is six ticks of 0.5 us.
"""
