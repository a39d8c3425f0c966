"""What the network sees of a hit: the pixels around it. The one definition, for training and for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonic.workloads.lartpc.chamber import PLANES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from sonic.workloads.lartpc.chamber import Chamber
    from sonic.workloads.lartpc.simulation import Pixels

SIZE = 48
"""Wires and samples of a patch, about 23 cm each way (arXiv:2009.04509)."""
HALF = SIZE // 2
"""Place of the hit's own pixel in its patch."""
SCALE_KE = 10.0
LARGEST = 8.0
"""Of a pixel, in units of :data:`SCALE_KE`: what stops may leave more."""


def images(pixels: Pixels, chamber: Chamber) -> Iterator[NDArray[np.float32]]:
    """Put the pixels of an event back into images, a plane at a time.

    Parameters
    ----------
    pixels : Pixels
        Those that are not in the chamber, or whose charge is not finite, are left out.
    chamber : Chamber

    Yields
    ------
    float32 array [wires, samples]
        In thousands of electrons.
    """
    planes, wires, samples = (np.asarray(values, np.int64) for values in pixels[:3])
    charge = np.asarray(pixels.charge_ke, np.float32)
    for number in range(len(PLANES)):
        shape = chamber.shapes[number]
        there = (planes == number) & np.isfinite(charge) & _within(wires, samples, shape)
        image = np.zeros(shape, np.float32)
        image[wires[there], samples[there]] = charge[there]
        yield image


def usable(plane: ArrayLike, wire: ArrayLike, sample: ArrayLike, chamber: Chamber) -> NDArray[np.bool_]:
    """Whether hits are in the chamber; bool array [hits]. Others have no patch.

    Parameters
    ----------
    plane, wire : int array [hits]
    sample : float array [hits]
    chamber : Chamber
    """
    planes, wires = np.asarray(plane, np.int64), np.asarray(wire, np.int64)
    samples = np.asarray(sample, np.float64)
    known = np.isfinite(samples) & (planes >= 0) & (planes < len(PLANES))
    for number, shape in enumerate(chamber.shapes):
        known &= (planes != number) | _within(wires, samples, shape)
    return known


def cut(image: NDArray[np.float32], wire: ArrayLike, sample: ArrayLike) -> NDArray[np.float32]:
    """Cut a patch around each hit out of an image.

    Parameters
    ----------
    image : float32 array [wires, samples]
        In thousands of electrons; beyond its edges there is nothing.
    wire : int array [hits]
    sample : float array [hits]

    Returns
    -------
    float32 array [hits, 48, 48, 1]
        In units of 10,000 electrons, 8 at most; the hit is at [24, 24].
    """
    scaled = np.clip(image * np.float32(1 / SCALE_KE), 0, LARGEST)
    padded = np.pad(scaled, HALF)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIZE, SIZE))
    found: NDArray[np.float32] = windows[np.asarray(wire, np.int64), np.floor(np.asarray(sample)).astype(np.int64)]
    return found[..., None]


def _within(wire: NDArray[np.int64], sample: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (wire >= 0) & (wire < shape[0]) & (sample >= 0) & (sample < shape[1])
    return inside
