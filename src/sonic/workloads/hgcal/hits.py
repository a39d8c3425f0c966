"""Hits of one event as arrays, and which of them can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sonic.workloads.hgcal.detector import ENDCAP

if TYPE_CHECKING:
    from sonic.workloads.hgcal.detector import Bools, Endcap, Floats, Ints


class Hits(NamedTuple):
    """Hits of one event, in any order.

    Attributes
    ----------
    layer : int array [hits]
    x_cm, y_cm : float array [hits]
        Centres of the cells.
    energy_mip : float array [hits]
        As measured, in what a minimum-ionising particle leaves.
    """

    layer: Ints
    x_cm: Floats
    y_cm: Floats
    energy_mip: Floats

    def chosen(self, which: Bools | Ints) -> Hits:
        """Return some of them."""
        return Hits(self.layer[which], self.x_cm[which], self.y_cm[which], self.energy_mip[which])

    def usable(self, endcap: Endcap = ENDCAP) -> Bools:
        """Say which can be used: finite, with an energy above 0, on a layer that is there; bool array [hits]."""
        finite = np.isfinite(self.x_cm) & np.isfinite(self.y_cm) & np.isfinite(self.energy_mip)
        there: Bools = finite & (self.energy_mip > 0) & (self.layer >= 0) & (self.layer < len(endcap))
        return there

    def projected(self, endcap: Endcap = ENDCAP) -> tuple[Floats, Floats]:
        """Return where lines from the origin through usable hits enter the front face, in cm."""
        scale = endcap.front_cm / np.asarray(endcap.z_cm)[self.layer]
        return self.x_cm * scale, self.y_cm * scale

    def weighted(self, endcap: Endcap = ENDCAP) -> Floats:
        """Return energies that count alike on all layers, those of the first kept; usable hits."""
        return np.asarray(self.energy_mip * endcap.weights[self.layer])
