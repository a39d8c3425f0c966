"""A deposit's pulse in eight time slices, and the codes that charges are converted to.

The shape is that of a scintillator read through a wavelength-shifting fibre by a silicon photomultiplier: light as a
gamma distribution, the device as an exponential. The constants are ours, chosen to give what is usual there: three
fifths of the charge in the pulse's first slice, most of the rest in the second, a few percent later.

The converter is built as QIE10 and QIE11 are (CMS-TDR-010): four ranges, each eight times as coarse as the one below,
each of 64 codes in four steps of coarseness; 3.1 fC at the bottom, 355 pC at the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = NDArray[np.float64]

SLICES = 8
SLICE_NS = 25.0
IN_TIME = 3
"""The slice of interest: where a pulse of the triggered crossing begins."""
CROSSINGS = (-3, -2, -1, 0, 1, 2, 3, 4)
"""Those whose pulses begin in one of the slices."""
_STEP_NS = 0.25
_LONGEST_NS = 400.0


@dataclass(frozen=True)
class PulseShape:
    """A pulse's course.

    Parameters
    ----------
    light_shape : float
        Of the gamma distribution of the light.
    light_ns : float
        Its scale.
    device_ns : float
        The device's time constant.
    start_ns : float
        When a pulse begins in its slice.
    """

    light_shape: float = 3.0
    light_ns: float = 4.5
    device_ns: float = 8.5
    start_ns: float = 2.0

    def fractions(self, crossings: ArrayLike, delay_ns: ArrayLike = 0.0) -> Floats:
        """Return how a pulse's charge is shared among the slices.

        Parameters
        ----------
        crossings : int array [...]
            Of the pulse; 0 is the triggered one.
        delay_ns : float array [...]

        Returns
        -------
        float array [..., 8]
            What falls outside is missing from the sum.
        """
        begins = (np.asarray(crossings) + IN_TIME) * SLICE_NS + self.start_ns + np.asarray(delay_ns)
        edges = np.arange(SLICES + 1) * SLICE_NS - begins[..., None]
        fractions: Floats = np.diff(np.interp(edges, *self._integral))
        return fractions

    @cached_property
    def _integral(self) -> tuple[Floats, Floats]:
        times = np.arange(0.0, _LONGEST_NS, _STEP_NS)
        light = times ** (self.light_shape - 1) * np.exp(-times / self.light_ns)
        current = np.convolve(light, np.exp(-times / self.device_ns))[: len(times)]
        charge = np.concatenate([[0.0], np.cumsum(0.5 * (current[1:] + current[:-1]))])
        return times, charge / charge[-1]


PULSE = PulseShape()

_MANTISSA = np.repeat([1.0, 2.0, 4.0, 8.0], [16, 20, 21, 7])
_WIDTHS = 3.1 * np.concatenate([_MANTISSA * 8.0**scale for scale in range(4)])
_EDGES = np.concatenate([[0.0], np.cumsum(_WIDTHS)]) - 0.5 * _WIDTHS[0]
_CENTRES = 0.5 * (_EDGES[1:] + _EDGES[:-1])

SATURATED = len(_CENTRES) - 1
"""The highest code: the charge was that or more."""
MAX_FC = float(_CENTRES[-1])


def encode(charge_fc: ArrayLike) -> NDArray[np.uint8]:
    """Return the codes of charges in fC; beyond either end, the last code there."""
    return (np.searchsorted(_EDGES[1:-1], np.asarray(charge_fc), side="right")).astype(np.uint8)


def decode(codes: NDArray[np.uint8]) -> Floats:
    """Return the charges in fC in the middle of codes."""
    charges: Floats = _CENTRES[codes]
    return charges


def code_width_fc(charge_fc: ArrayLike) -> Floats:
    """Return how many fC the codes of charges are wide."""
    widths: Floats = _WIDTHS[np.searchsorted(_EDGES[1:-1], np.asarray(charge_fc), side="right")]
    return widths
