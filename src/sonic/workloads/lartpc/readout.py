"""Charge on wires and samples: recombination, drift, diffusion, and whose charge it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Chamber, Floats
    from sonic.workloads.lartpc.tracks import Steps

_PAIR_EV = 23.6
"""To set an electron free (Miyajima et al., Phys. Rev. A 9 (1974) 1438)."""
# Birks' law as ICARUS measured it (Nucl. Instrum. Meth. A 523 (2004) 275), at 0.5 kV/cm.
_BIRKS_A, _BIRKS_K = 0.800, 0.0486
_FIELD_KV_CM, _DENSITY_G_CM3 = 0.5, 1.396
_MM2_PER_US = 1e-4
"""One cm2/s."""
_WIRES, _SAMPLES = np.arange(-1, 3), np.arange(-2, 4)
_GRID = np.linspace(-6, 6, 2401)
_NORMAL = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in _GRID])


def electrons_ke(steps: Steps, chamber: Chamber) -> Floats:
    """Return how many thousands of electrons of each step arrive; float array [n]."""
    density = 10 * steps.energy_mev / np.maximum(steps.length_mm, 0.1)  # MeV/cm
    survive = _BIRKS_A / (1 + _BIRKS_K / (_FIELD_KV_CM * _DENSITY_G_CM3) * density)
    time_us = steps.position_mm[:, 0] / chamber.drift_mm_per_us
    arrived: Floats = 1e3 * steps.energy_mev / _PAIR_EV * survive * np.exp(-time_us / chamber.lifetime_us)
    return arrived


def collect(
    plane: int, steps: Steps, charge_ke: Floats, chamber: Chamber
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Spread charge over a plane's wires and samples; noise is not in it.

    Parameters
    ----------
    plane : int
    steps : Steps
    charge_ke : float array [n]
        What arrives of each.
    chamber : Chamber

    Returns
    -------
    charge : float32 array [wires, samples]
        In thousands of electrons.
    particle : int32 array [wires, samples]
        Whose step gave most of it; -1 without any.
    """
    shape = chamber.shapes[plane]
    time_us = steps.position_mm[:, 0] / chamber.drift_mm_per_us
    across_mm = np.sqrt(2 * chamber.transverse_cm2_per_s * _MM2_PER_US * time_us + 0.1)
    along_mm = np.sqrt(
        2 * chamber.longitudinal_cm2_per_s * _MM2_PER_US * time_us + (chamber.shaping_us * chamber.drift_mm_per_us) ** 2
    )
    wires, wire_share = _shares(chamber.wire(plane, steps.position_mm), across_mm / chamber.pitches_mm[plane], _WIRES)
    samples, sample_share = _shares(chamber.sample(steps.position_mm), along_mm / chamber.sample_mm, _SAMPLES)
    parts = charge_ke[:, None, None] * wire_share[:, :, None] * sample_share[:, None, :]
    wire, sample = np.broadcast_arrays(wires[:, :, None], samples[:, None, :])
    inside = (wire >= 0) & (wire < shape[0]) & (sample >= 0) & (sample < shape[1]) & (parts > 0)
    pixel, part = (wire * shape[1] + sample)[inside], parts[inside]
    whose = np.broadcast_to(steps.particle[:, None, None], parts.shape)[inside]
    charge = np.bincount(pixel, part, shape[0] * shape[1]).astype(np.float32)
    owner = np.full(shape[0] * shape[1], -1, np.int32)
    order = np.argsort(part, kind="stable")
    owner[pixel[order]] = whose[order]  # of several to one place, the last stays: the largest
    return charge.reshape(shape), owner.reshape(shape)


def noise(plane: int, chamber: Chamber, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw a plane's noise, in thousands of electrons; float32 array [wires, samples]."""
    drawn = random.standard_normal(chamber.shapes[plane], np.float32)
    drawn *= np.float32(chamber.noise_ke[plane])
    return drawn


def _shares(at: Floats, spread: Floats, edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return the pixels [n, m] around places, and what a Gaussian leaves in each of them."""
    first = np.floor(at).astype(np.int64)
    reach = (first[:, None] + edges - at[:, None]) / spread[:, None]
    return first[:, None] + edges[:-1], np.diff(np.interp(reach, _GRID, _NORMAL), axis=1)
