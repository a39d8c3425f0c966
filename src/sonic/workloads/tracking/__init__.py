"""Charged particles in a barrel of silicon layers: simulated, found and fitted.

==========  ==========================================================================
detector    the layers: radii, material, resolution
helix       where a helix crosses a layer, with derivatives; scattering on the way
simulation  events with truth
kalman      the track fit, all tracks of a batch at once
finder      combinatorial Kalman filter: hits to tracks
graphs      hits to edges, and connected parts of what is left of them
triplets    which edges go on in others
paths       scored edges to tracks with a hit a layer
outliers    tracks without the hits that spoil their fit
matching    found against true
service     the fit as a service
layers      the hits of an event by layer
sample      events as files
workflow    all of it as a job, with the fit offloaded
gnn         the same with tracks by the graph network, offloaded too
comparison  time, efficiency and fakes of both as the hits grow
plots       event displays, pulls, efficiencies (extra ``plots``)
==========  ==========================================================================

Lengths are in mm, momenta in GeV, angles in rad. A track is (d0, z0, phi, cot theta, q/pT) at its point nearest to the
beam line, which is the z axis: ``x = -d0 sin(phi)``, ``y = d0 cos(phi)``.
"""
