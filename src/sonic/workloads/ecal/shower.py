"""Electromagnetic showers as spots of energy: how deep and how far from the axis each lies.

Depths follow a gamma distribution whose parameters vary from shower to shower, correlated; radii a sum of a core and a
tail that widen with depth: Grindhammer and Peters (hep-ex/0001020), their parameters for homogeneous media.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.ecal.geometry import ATOMIC_NUMBER, CRITICAL_GEV, MOLIERE_CM

if TYPE_CHECKING:
    from sonic.workloads.ecal.geometry import Floats, Ints

_LEAST_GEV = 0.2  # below, the formulas have no meaning


class Showers(NamedTuple):
    """Shapes of showers.

    Attributes
    ----------
    energy_gev : float array [n]
    maximum : float array [n]
        Depth of the maximum, radiation lengths from where the shower starts.
    alpha : float array [n]
        Of the gamma distribution.
    scale : float array [n]
        By which a depth is divided for the radii, so that the mean shower's maximum is at 1.
    """

    energy_gev: Floats
    maximum: Floats
    alpha: Floats
    scale: Floats


def showers(energy_gev: Floats, random: np.random.Generator) -> Showers:
    """Draw the shapes of showers of these energies (the paper's equations for fluctuated profiles)."""
    log_y = np.log(np.maximum(energy_gev, _LEAST_GEV) / CRITICAL_GEV)
    mean_alpha = 0.81 + (0.458 + 2.26 / ATOMIC_NUMBER) * log_y
    correlation = 0.705 - 0.023 * log_y
    together, apart = random.standard_normal((2, len(log_y)))
    together, apart = together * np.sqrt((1 + correlation) / 2), apart * np.sqrt((1 - correlation) / 2)
    maximum = (log_y - 0.812) * np.exp((together + apart) / (1.26 * log_y - 1.4))
    alpha = np.maximum(mean_alpha * np.exp((together - apart) / (0.86 * log_y - 0.58)), 1.1)
    scale = maximum * alpha / (alpha - 1) * (mean_alpha - 1) / mean_alpha
    return Showers(energy_gev, maximum, alpha, scale)


def depths(shapes: Showers, which: Ints, random: np.random.Generator) -> Floats:
    """Draw the depth of spots, in radiation lengths from the start of the showers that they belong to.

    Parameters
    ----------
    shapes : Showers
    which : int array [spots]
        Number of a spot's shower.
    random : Generator
    """
    beta = (shapes.alpha - 1) / shapes.maximum
    found: Floats = random.standard_gamma(shapes.alpha[which]) / beta[which]
    return found


def radii_cm(shapes: Showers, which: Ints, depth: Floats, random: np.random.Generator) -> Floats:
    """Draw the distance of spots from the axis.

    Parameters
    ----------
    shapes : Showers
    which : int array [spots]
    depth : float array [spots]
        As of :func:`depths`.
    random : Generator
    """
    tau = depth / shapes.scale[which]
    log_e = np.log(np.maximum(shapes.energy_gev, _LEAST_GEV))[which]
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * ATOMIC_NUMBER) * tau
    slow = 0.3585 + 0.0412 * log_e
    tail = (0.659 - 0.00309 * ATOMIC_NUMBER) * (np.exp(-2.59 * (tau - 0.645)) + np.exp(slow * (tau - 0.645)))
    width = 1.313 - 0.0686 * log_e
    at = (0.401 + 0.00187 * ATOMIC_NUMBER - tau) / width
    in_core = random.uniform(size=len(tau)) < (2.632 - 0.00094 * ATOMIC_NUMBER) * np.exp(at - np.exp(at))
    u = random.uniform(size=len(tau))
    found: Floats = MOLIERE_CM * np.where(in_core, core, tail) * np.sqrt(u / (1 - u))
    return found
