"""Images of clusters, the inputs of DeepCalo: the one definition, for training and for inference.

After DeepCalo's: each layer on the grid of the finest cells, the energy of a cell spread evenly over its pixels, so
that a sum over pixels is a sum of energies in GeV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.workloads.ecal.geometry import ETA_PIXELS, LAYERS, MIDDLE, PHI_PIXELS, PHI_PIXELS_AROUND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.ecal.geometry import Ints
    from sonic.workloads.ecal.simulation import Electrons


def draw(made: Electrons) -> NDArray[np.float32]:
    """Draw simulated electrons; float32 array [n, 56, 11, 4]."""
    return images(made.ieta, made.iphi, made.cluster, made.layer, made.cell_ieta, made.cell_iphi, made.cell_gev)


def images(
    ieta: Ints,
    iphi: Ints,
    cluster: Ints,
    layer: Ints,
    cell_ieta: Ints,
    cell_iphi: Ints,
    cell_gev: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Draw clusters around their hottest cells of the middle layer.

    Cells outside of the image count only by what of them lies inside; a cell whose energy is not finite, of a layer
    that there is not, or of a cluster that there is not, is left out.

    Parameters
    ----------
    ieta, iphi : int array [n]
        Of the hottest cells.
    cluster, layer, cell_ieta, cell_iphi : int array [cells]
    cell_gev : float array [cells]

    Returns
    -------
    float32 array [n, 56, 11, 4]
        By eta, phi and layer; GeV.
    """
    drawn = np.zeros((len(ieta), ETA_PIXELS, PHI_PIXELS, len(LAYERS)), np.float32)
    good = np.isfinite(cell_gev) & (cluster >= 0) & (cluster < len(ieta))
    first_eta = LAYERS[MIDDLE].eta_pixels * ieta - (ETA_PIXELS - LAYERS[MIDDLE].eta_pixels) // 2
    first_phi = iphi - PHI_PIXELS // 2
    for number, cells in enumerate(LAYERS):
        chosen = np.flatnonzero(good & (layer == number))
        n = cluster[chosen]
        x = cells.eta_pixels * cell_ieta[chosen] - first_eta[n]
        y = cells.phi_pixels * cell_iphi[chosen] - first_phi[n] + cells.phi_pixels
        y = y % PHI_PIXELS_AROUND - cells.phi_pixels  # a cell may begin before the image, and phi goes round
        energy = (cell_gev[chosen] / np.float32(cells.pixels)).astype(np.float32)
        for i in range(cells.eta_pixels):
            for j in range(cells.phi_pixels):
                u, v = x + i, y + j
                inside = (u >= 0) & (u < ETA_PIXELS) & (v >= 0) & (v < PHI_PIXELS)
                drawn[n[inside], u[inside], v[inside], number] = energy[inside]
    return drawn
