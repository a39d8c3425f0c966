"""The ordinary way to find top quarks: the mass of a jet that is groomed, and whether it looks like three jets.

Soft drop (arXiv:1402.2657) with beta = 0 and z_cut = 0.1, N-subjettiness (arXiv:1011.2268) with beta = 1 and axes of
one pass from k_T's, both of FastJet's contrib; as CMS tags (arXiv:2004.08262).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np
import vector

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sonic.workloads.features.flat import Floats
    from sonic.workloads.toptag.images import Constituents

vector.register_awkward()

RADIUS = 0.8
TOP_MASS_GEV = (105.0, 220.0)
"""Window of the groomed mass."""


class Substructure(NamedTuple):
    """Of jets; NaN where there are too few particles.

    Attributes
    ----------
    mass_gev : float array [jets]
        Groomed.
    tau1, tau2, tau3 : float array [jets]
    """

    mass_gev: Floats
    tau1: Floats
    tau2: Floats
    tau3: Floats


def substructure(particles: Constituents, eta: Floats) -> Substructure:
    """Groom jets and compute their N-subjettiness.

    Parameters
    ----------
    particles : Constituents
        Taken as massless.
    eta : float array [jets]
        Of the jets' axes.

    Raises
    ------
    ConfigError
        If fastjet is not installed.
    """
    try:
        import fastjet
    except ImportError:
        raise ConfigError("grooming jets needs fastjet: pip install 'sonic-hep[generate]'") from None
    found = Substructure(*np.full((4, len(eta)), np.nan))
    enough = particles.counts >= 3
    if not enough.any():
        return found
    jet = particles.jet
    kept = enough[jet]
    pt, etas, phi = particles.pt[kept], (particles.eta + eta[jet])[kept], particles.phi[kept]
    fields = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(etas), "E": pt * np.cosh(etas)}
    inputs = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), particles.counts[enough])
    # All particles of a jet into one: a radius that nothing is outside of.
    sequence = fastjet.ClusterSequence(inputs, fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0))
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1, R0=RADIUS)
    taus = sequence.njettiness(
        measure_definition="NormalizedMeasure", axes_definition="OnePass_KT_Axes", njets=[1, 2, 3], beta=1.0, R0=RADIUS
    )
    found.mass_gev[enough] = np.asarray(ak.flatten(groomed.msoftdrop, axis=None))
    for tau, values in zip(found[1:], np.asarray(taus).reshape(-1, 3).T, strict=True):
        tau[enough] = values
    return found


def score(mass_gev: ArrayLike, tau2: ArrayLike, tau3: ArrayLike) -> Floats:
    """Order jets as a tagger with a window in the mass and a cut on tau3 / tau2 does, the cut loosened first.

    Parameters
    ----------
    mass_gev, tau2, tau3 : float array [jets]

    Returns
    -------
    float array [jets]
        In [-1, 1], above 0 in the window; -1 where a number is not finite.
    """
    mass, two, three = (np.asarray(values, np.float64) for values in (mass_gev, tau2, tau3))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(three / two, 0.0, 1.0)
    inside = (mass > TOP_MASS_GEV[0]) & (mass < TOP_MASS_GEV[1])
    scores = np.where(inside, 1 - ratio, -ratio)
    found: Floats = np.where(np.isfinite(mass) & np.isfinite(ratio), scores, -1.0)
    return found
