"""Electrons in the electromagnetic calorimeter: simulated, and their energy found by sums and by DeepCalo.

===========  ============================================================================
geometry     layers and cells; how much material lies where
shower       depths and radii of the spots of a shower
simulation   electrons with truth, as cells of clusters
images       cells to images, the inputs of DeepCalo
calibration  the ordinary energy: a window's sums, weighted by layer
sample       events as a file
workflow     energies as a job, with DeepCalo offloaded
plots        layers of a shower, bias and resolution (extra ``plots``)
===========  ============================================================================
"""
