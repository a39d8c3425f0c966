"""Clusters from hits that are grouped: energies, places, and what kind of shower they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.hgcal.detector import ENDCAP
from sonic.workloads.hgcal.showers import MIP_PER_GEV

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Bools, Endcap, Floats, Ints
    from sonic.workloads.hgcal.hits import Hits

HADRONIC_SHARE = 0.05
"""Of a cluster's energy behind the electromagnetic part, from which it counts as a hadron's."""
ELECTROMAGNETIC_SCALE = 1.00
HADRONIC_SCALE = 1.25
"""What brings the median response of 5 to 30 GeV to 1, with showers grouped by the truth."""


class Clusters(NamedTuple):
    """Clusters of one event.

    Attributes
    ----------
    energy_gev : float array [clusters]
    x_cm, y_cm : float array [clusters]
        Mean of the hits, projected to the front face, by energy.
    layer : float array [clusters]
        Mean, by energy.
    hadronic : bool array [clusters]
        Whether they look like hadrons' showers.
    hits : int array [clusters]
    """

    energy_gev: Floats
    x_cm: Floats
    y_cm: Floats
    layer: Floats
    hadronic: Bools
    hits: Ints


def measure(label: Ints, hits: Hits, endcap: Endcap = ENDCAP) -> Clusters:
    """Measure the clusters of one event.

    Parameters
    ----------
    label : int array [hits]
        Number of each hit's cluster; -1: in none.
    hits : Hits
        Usable ones.
    endcap : Endcap
    """
    inside = label >= 0
    label, hits = label[inside], hits.chosen(inside)
    number = int(label.max(initial=-1)) + 1
    # An absorber's thickness stands for what it took.
    weighted = hits.weighted(endcap)
    u, v = hits.projected(endcap)
    total = np.bincount(label, weighted, number)
    safe = np.maximum(total, 1e-30)  # a number that no hit has is an empty cluster
    x_cm, y_cm, layer = (np.bincount(label, weighted * each, number) / safe for each in (u, v, hits.layer))
    behind = np.bincount(label, weighted * (hits.layer >= endcap.electromagnetic), number) / safe
    hadronic = behind > HADRONIC_SHARE
    scale = np.where(hadronic, HADRONIC_SCALE, ELECTROMAGNETIC_SCALE)
    counts = np.bincount(label, minlength=number)
    return Clusters(total / MIP_PER_GEV * scale, x_cm, y_cm, layer, hadronic, counts)
