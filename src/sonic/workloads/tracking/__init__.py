"""Charged particles in a barrel of silicon layers: simulated, found and fitted.

==========  ==========================================================================
detector    the layers: radii, material, resolution
helix       where a helix crosses a layer, with derivatives; scattering on the way
simulation  events with truth
kalman      the track fit, all tracks of a batch at once
finder      combinatorial Kalman filter: hits to tracks
graphs      hits to edges, and scored edges to tracks
matching    found against true
service     the fit as a service
layers      the hits of an event by layer
workflow    all of it as a job, with the fit offloaded
plots       event displays, pulls, efficiencies (extra ``plots``)
==========  ==========================================================================

Lengths are in mm, momenta in GeV, angles in rad. A track is (d0, z0, phi, cot theta, q/pT) at its point nearest to the
beam line, which is the z axis: ``x = -d0 sin(phi)``, ``y = d0 cos(phi)``.
"""
