"""Hits: peaks of charge on a wire, found by a threshold and cut apart where the charge has a dip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.workloads.lartpc.chamber import Floats, Ints

SUPPRESSION = 3.0
"""What is kept of an image: samples above so many standard deviations of the noise."""
SEED = 3.7
"""What a hit's highest sample must be above, likewise."""


class Peaks(NamedTuple):
    """Hits of one image, wire by wire.

    Attributes
    ----------
    wire : int array [hits]
    sample : float array [hits]
        The charge's mean; the middle of the first sample is 0.5.
    charge_ke : float array [hits]
    width : float array [hits]
        Standard deviation, in samples.
    pixel, hit : int array [pixels]
        Places in the flattened image, and the number of the hit that each belongs to.
    """

    wire: Ints
    sample: Floats
    charge_ke: Floats
    width: Floats
    pixel: Ints
    hit: Ints

    def total(self, image: NDArray[np.floating]) -> Floats:
        """Sum another image of the same shape over the hits' pixels; float array [hits]."""
        return np.bincount(self.hit, image.ravel()[self.pixel], len(self.wire)).astype(float)


def find(image: NDArray[np.floating], noise_ke: float) -> Peaks:
    """Find the hits of an image.

    Parameters
    ----------
    image : float array [wires, samples]
        In thousands of electrons. What is not a number is no charge.
    noise_ke : float
        Standard deviation.
    """
    samples = image.shape[1]
    flat = image.ravel()
    pixel = np.flatnonzero(flat > SUPPRESSION * noise_ke)
    charge = flat[pixel].astype(float)
    run = np.diff(pixel, prepend=-2) != 1
    run |= pixel % samples == 0
    ends = np.append(run[1:], True)
    before, after = np.roll(charge, 1), np.roll(charge, -1)
    dip = ~run & ~ends & (charge < before) & (charge <= after)
    begins = np.flatnonzero(run | dip)
    number = np.cumsum(run | dip) - 1
    highest = np.maximum.reduceat(charge, begins) if len(begins) else charge
    chosen = highest > SEED * noise_ke
    renamed = np.cumsum(chosen) - 1
    mine = chosen[number]
    pixel, charge, hit = pixel[mine], charge[mine], renamed[number[mine]]
    count = int(chosen.sum())
    wire, sample = np.divmod(pixel, samples)
    total = np.bincount(hit, charge, count)
    mean = np.bincount(hit, charge * sample, count) / total + 0.5
    variance = np.bincount(hit, charge * (sample + 0.5 - mean[hit]) ** 2, count) / total
    first = np.zeros(count, np.int64)
    first[hit] = wire
    return Peaks._make([first, mean, total.astype(float), np.sqrt(variance + 1 / 12), pixel, hit])
