"""Top quarks among wide jets: images of jets for ResNet-50, and the ordinary way by mass and substructure.

============  =======================================================================
images        particles of jets to images, the inputs of ResNet-50
substructure  soft-drop mass and N-subjettiness (extra ``generate``), and a cut on both
sample        generated events as a file (extra ``generate``)
workflow      tagging as a job, with ResNet-50 offloaded
plots         mean images, ROC curves (extra ``plots``)
============  =======================================================================
"""
