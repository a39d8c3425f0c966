"""Events from Pythia seen by a simple detector, with the truth kept, in the layout of a PFNano file.

=============  =================================================================
processes      which hard processes, and how much of each for which training
pythia         collisions: stable particles, heavy hadrons, partons, pile-up
detector       tracks, calorimeter clusters, particle-flow candidates
vertices       secondary vertices
puppi          pile-up weights of candidates
jets           jets, wide ones too, their flavour, the generator's jets
decays         what tops, W, Z and Higgs bosons became, and which jets hold it
sample         whole events in reproducible blocks, on several processes
=============  =================================================================
"""
