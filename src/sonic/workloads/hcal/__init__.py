"""The hadron calorimeter: simulated digis, and the pulse fit that FACILE replaces.

==========  ==========================================================================
geometry    the channels of barrel and endcap: ieta, iphi, depth
pulse       what a deposit looks like in eight time slices; the converter's codes
simulation  events with truth: collisions, pile-up of other crossings, digis
features    inputs and output of FACILE
nnls        non-negative least squares, all channels of a batch at once
mahi        the pulse fit
sums        the energy without a fit
towers      channels to towers, for jets and missing energy
service     the fit as a service, and FACILE as it is served
figures     bias and resolution by energy
effects     what is left of them in jets and missing energy
plots       pictures of these and of a fit (extra ``plots``)
==========  ==========================================================================

Energies are in GeV, charges in fC, times in ns. The time slice of interest, in which a pulse of the triggered crossing
begins, is number 3 of 8.
"""
