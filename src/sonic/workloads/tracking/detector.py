"""A barrel tracker: layers around the beam line in a solenoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonic.errors import ConfigError

Floats = NDArray[np.float64]

PION_MASS_GEV = 0.13957
_GEV_PER_T_MM = 2.99792458e-4
"""pT of a particle of unit charge, by field and radius of curvature."""


@dataclass(frozen=True)
class Barrel:
    """Cylinders around the z axis, from the inside out.

    Parameters
    ----------
    radii_mm : tuple of float
    thickness_x0 : tuple of float
        Material of each at normal incidence, in radiation lengths.
    rphi_resolution_mm, z_resolution_mm : tuple of float
        Standard deviations of a hit.
    half_length_mm : float
    field_t : float
        Along z.

    Raises
    ------
    ConfigError
        If the layers are not described alike, or not from the inside out.
    """

    radii_mm: tuple[float, ...]
    thickness_x0: tuple[float, ...]
    rphi_resolution_mm: tuple[float, ...]
    z_resolution_mm: tuple[float, ...]
    half_length_mm: float
    field_t: float

    def __post_init__(self) -> None:
        lengths = [
            len(each) for each in (self.radii_mm, self.thickness_x0, self.rphi_resolution_mm, self.z_resolution_mm)
        ]
        if len(set(lengths)) > 1:
            raise ConfigError(f"every layer has a radius, a thickness and two resolutions, given {lengths}")
        if not self.radii_mm or self.radii_mm[0] <= 0 or any(np.diff(self.radii_mm) <= 0):
            raise ConfigError(f"radii go from the inside out, above 0, given {self.radii_mm}")

    def __len__(self) -> int:
        return len(self.radii_mm)

    @property
    def bend_gev_per_mm(self) -> float:
        """Curvature in 1/mm of a particle of 1 GeV: ``omega = -bend q/pT``, the change of direction with path."""
        return _GEV_PER_T_MM * self.field_t

    def scattering(self, layer: int, cot_theta: Floats, q_over_pt: Floats, cos_beta: Floats) -> Floats:
        """Return the standard deviation of a projected scattering angle, in rad.

        Highland's formula (Particle Data Group, "Passage of particles through matter") for pions.

        Parameters
        ----------
        layer : int
        cot_theta, q_over_pt : float array [tracks]
        cos_beta : float array [tracks]
            Of the angle between the direction and the radius, seen along the beam.
        """
        stretch = np.sqrt(1 + cot_theta**2)  # 1 / sin theta
        p = stretch / np.maximum(np.abs(q_over_pt), 1e-9)
        velocity = p / np.sqrt(p**2 + PION_MASS_GEV**2)
        depth = self.thickness_x0[layer] * stretch / cos_beta
        angle: Floats = 0.0136 / (velocity * p) * np.sqrt(depth) * (1 + 0.038 * np.log(depth))
        return angle


BARREL = Barrel(
    radii_mm=(30.0, 70.0, 110.0, 160.0, 250.0, 350.0, 460.0, 600.0, 780.0, 1000.0),
    thickness_x0=(0.010,) * 4 + (0.020,) * 6,
    rphi_resolution_mm=(0.010,) * 4 + (0.030,) * 6,
    z_resolution_mm=(0.025,) * 4 + (0.300,) * 6,
    half_length_mm=2400.0,
    field_t=3.8,
)
"""Four layers of pixels and six of strips, of about the size and the field of the CMS tracker's barrel."""
