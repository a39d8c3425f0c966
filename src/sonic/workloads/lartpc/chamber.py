"""A liquid-argon chamber in front of one anode: three planes of wires, and what becomes of electrons on their way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sonic.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PLANES = ("U", "V", "W")
"""Two induction planes, and the collection plane, whose wires are vertical."""
TICKS = 6
"""Ticks of 0.5 us that are summed up to one sample."""
TICK_US = 0.5


@dataclass(frozen=True)
class Chamber:
    """A box of argon: x is the drift, from the anode at 0; y is up, z along the beam.

    Size, angles, pitches and sampling are about those of a sixth of ProtoDUNE-SP (arXiv:2007.06722); but an induction
    wire ends at the edge here, where the experiment's goes on around the frame. Noise is such that a minimum ionising
    particle stands out by about 18 (U, V) and 40 (W), as reported there.

    Parameters
    ----------
    drift_mm, height_mm, width_mm : float
        In x, y and z.
    angles_deg : tuple of float
        Of the wires to the vertical, by plane.
    pitches_mm : tuple of float
    noise_ke : tuple of float
        Standard deviation of a sample, in thousands of electrons.
    drift_mm_per_us : float
        At 0.5 kV/cm.
    lifetime_us : float
        Of electrons, before impurities catch them.
    longitudinal_cm2_per_s, transverse_cm2_per_s : float
        Diffusion. The first is MicroBooNE's (arXiv:2104.06551), the second about twice as large, as theory has it.
    shaping_us : float
        Standard deviation of the electronics' response.

    Raises
    ------
    ConfigError
        If there are not three planes, or a size makes no sense.
    """

    drift_mm: float = 3600.0
    height_mm: float = 6000.0
    width_mm: float = 2300.0
    angles_deg: tuple[float, float, float] = (35.7, -35.7, 0.0)
    pitches_mm: tuple[float, float, float] = (4.67, 4.67, 4.79)
    noise_ke: tuple[float, float, float] = (1.0, 1.0, 0.45)
    drift_mm_per_us: float = 1.6
    lifetime_us: float = 10_000.0
    longitudinal_cm2_per_s: float = 3.74
    transverse_cm2_per_s: float = 8.0
    shaping_us: float = 1.0

    def __post_init__(self) -> None:
        for name in ("angles_deg", "pitches_mm", "noise_ke"):
            if len(getattr(self, name)) != len(PLANES):
                raise ConfigError(f"{name} has one number for each of {', '.join(PLANES)}, given {getattr(self, name)}")
        sizes = (self.drift_mm, self.height_mm, self.width_mm, self.drift_mm_per_us, *self.pitches_mm)
        if min(sizes) <= 0:
            raise ConfigError(f"sizes, pitches and drift velocity are above 0, given {min(sizes)}")

    @property
    def box_mm(self) -> Floats:
        """Lengths in x, y and z; float array [3]."""
        return np.array([self.drift_mm, self.height_mm, self.width_mm])

    @property
    def sample_mm(self) -> float:
        """Drift in one sample: 4.8 mm, about the pitch, so that pixels are square."""
        return self.drift_mm_per_us * TICKS * TICK_US

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Wires and samples of each plane's image."""
        samples = int(np.ceil(self.drift_mm / self.sample_mm))
        return tuple((int(np.ceil(self._extent(plane)[1])), samples) for plane in range(len(PLANES)))

    def wire(self, plane: int, position_mm: Floats) -> Floats:
        """Return where electrons from there arrive, in wires from the first; float array [n].

        Parameters
        ----------
        plane : int
        position_mm : float array [n, 3]
        """
        return self._across(plane, position_mm) - self._extent(plane)[0]

    def sample(self, position_mm: Floats) -> Floats:
        """Return when electrons from there arrive, in samples; float array [n]."""
        when: Floats = position_mm[:, 0] / self.sample_mm
        return when

    def inside(self, position_mm: Floats) -> NDArray[np.bool_]:
        """Whether points [..., 3] are in the argon."""
        return np.asarray(((position_mm >= 0) & (position_mm < self.box_mm)).all(axis=-1))

    def _across(self, plane: int, position_mm: Floats) -> Floats:
        angle = np.deg2rad(self.angles_deg[plane])
        along: Floats = (position_mm[..., 2] * np.cos(angle) + position_mm[..., 1] * np.sin(angle)) / self.pitches_mm[
            plane
        ]
        return along

    def _extent(self, plane: int) -> tuple[float, float]:
        """First wire's place, and how many there are."""
        corners = np.array([[0, y, z] for y in (0, self.height_mm) for z in (0, self.width_mm)])
        at = self._across(plane, corners)
        return float(at.min()), float(np.ptp(at))


PROTODUNE = Chamber()
