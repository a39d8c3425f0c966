"""An endcap of sampling layers with hexagonal cells, an electromagnetic and a hadronic part one behind the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sonic.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_HALF_SQRT3 = np.sqrt(3) / 2


@dataclass(frozen=True)
class Endcap:
    """Layers along z, each an absorber and a plane of cells behind it.

    Parameters
    ----------
    front_cm : float
        z of the front face; particles come straight from the origin.
    z_cm : tuple of float
        Of the layers' planes of cells.
    thickness_x0, thickness_lambda : tuple of float
        Of the absorber before each, in radiation and in interaction lengths.
    electromagnetic : int
        How many of the layers are the electromagnetic part.
    cell_cm : float
        Distance of two neighbouring cells' centres.

    Raises
    ------
    ConfigError
        If the layers are not described alike, or not from the front to the back.
    """

    front_cm: float
    z_cm: tuple[float, ...]
    thickness_x0: tuple[float, ...]
    thickness_lambda: tuple[float, ...]
    electromagnetic: int
    cell_cm: float

    def __post_init__(self) -> None:
        lengths = [len(each) for each in (self.z_cm, self.thickness_x0, self.thickness_lambda)]
        if len(set(lengths)) > 1:
            raise ConfigError(f"every layer has a place and two thicknesses, given {lengths}")
        if not self.z_cm or self.z_cm[0] < self.front_cm or any(np.diff(self.z_cm) <= 0):
            raise ConfigError(f"layers go from the front at {self.front_cm} cm to the back, given {self.z_cm}")

    def __len__(self) -> int:
        return len(self.z_cm)

    @cached_property
    def depth_x0(self) -> Floats:
        """Radiation lengths before the cells of each layer; float array [layers]."""
        return np.cumsum(self.thickness_x0)

    @cached_property
    def depth_lambda(self) -> Floats:
        """Interaction lengths before the cells of each layer; float array [layers]."""
        return np.cumsum(self.thickness_lambda)

    @cached_property
    def weights(self) -> Floats:
        """What a signal in each layer stands for, in that of the first: its absorber's thickness; float [layers]."""
        return np.asarray(self.thickness_x0) / self.thickness_x0[0]

    def cells(self, x_cm: Floats, y_cm: Floats) -> Ints:
        """Find the cells in which places of a layer are; int array [2, places] of a column and a row."""
        row = np.asarray(y_cm) / (self.cell_cm * _HALF_SQRT3)
        column = np.asarray(x_cm) / self.cell_cm - 0.5 * row
        third = -column - row
        rounded = [np.rint(each) for each in (column, row, third)]
        # The three add up to nothing; where rounding broke that, the one that it changed most is what the others say.
        off = [np.abs(a - b) for a, b in zip(rounded, (column, row, third), strict=True)]
        fix_column = (off[0] > off[1]) & (off[0] > off[2])
        fix_row = ~fix_column & (off[1] > off[2])
        columns = np.where(fix_column, -rounded[1] - rounded[2], rounded[0])
        rows = np.where(fix_row, -rounded[0] - rounded[2], rounded[1])
        return np.stack([columns, rows]).astype(np.int64)

    def centres(self, cells: Ints) -> tuple[Floats, Floats]:
        """Return x and y in cm of the centres of cells [2, cells]."""
        column, row = cells
        return self.cell_cm * (column + 0.5 * row), self.cell_cm * _HALF_SQRT3 * row


def _steel(thickness_lambda: float) -> float:
    """Radiation lengths of steel: an interaction length is 16.8 cm, a radiation length 1.76 cm."""
    return 9.5 * thickness_lambda


_FINE, _COARSE = 0.28, 0.50

ENDCAP = Endcap(
    front_cm=321.0,
    z_cm=(
        *(322.5 + 1.2 * i for i in range(28)),
        *(362.0 + 4.9 * i for i in range(12)),
        *(424.0 + 8.5 * i for i in range(10)),
    ),
    thickness_x0=(0.93,) * 28 + (_steel(_FINE),) * 12 + (_steel(_COARSE),) * 10,
    thickness_lambda=(0.05,) * 28 + (_FINE,) * 12 + (_COARSE,) * 10,
    electromagnetic=28,
    cell_cm=1.17,
)
"""28 layers with 26 radiation lengths and 22 with 8.4 interaction lengths, cells of 1.2 cm2.

Of the order of CMS's high-granularity endcap (CERN-LHCC-2017-023) and of its prototype (arXiv:2111.06855).
"""
