"""Numbers of fixed point, as FPGAs compute with them. Pure.

Specification: ``ap_fixed`` and ``ap_ufixed`` of AMD's Vitis HLS (UG1399), of which two ways to round and three to
overflow are known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Rounding = Literal["TRN", "RND"]
Overflow = Literal["WRAP", "SAT", "SAT_SYM"]

MAX_BITS = 32
"""Of a number: products of two such and their sums are to be exact in float64, which holds 53."""

_FARTHEST = 256
"""Bits that a number's point may be away from it: float64 reaches further, also with any float32 in units of a step."""

_TEXT = re.compile(r"(?:ap_)?(u?)fixed<(\d+),(-?\d+)(?:,(?:AP_)?(TRN|RND))?(?:,(?:AP_)?(WRAP|SAT_SYM|SAT))?>")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A type of fixed-point number.

    Parameters
    ----------
    total, integer : int
        Bits, and those of them before the point, the sign among them; `integer` may be negative or above `total`.
    signed : bool
    rounding : {"TRN", "RND"}
        What becomes of what is smaller than the last bit: cut off, towards minus infinity; or to the nearest, and from
        the middle towards plus infinity.
    overflow : {"WRAP", "SAT", "SAT_SYM"}
        What becomes of what is too large: wrapped around, or the largest or smallest that there is; the last has no
        smallest number whose negative there is not.

    Raises
    ------
    ConfigError
        If there is no such type, it has more than 32 bits, or its point is hundreds of bits away.
    """

    total: int
    integer: int
    signed: bool = True
    rounding: Rounding = "TRN"
    overflow: Overflow = "WRAP"

    def __post_init__(self) -> None:
        if not 1 <= self.total <= MAX_BITS:
            raise ConfigError(f"{self}: a number has 1 to {MAX_BITS} bits")
        if abs(self.integer) > _FARTHEST:
            raise ConfigError(f"{self}: a number has {-_FARTHEST} to {_FARTHEST} bits before its point")

    @classmethod
    def parse(cls, text: str) -> Fixed:
        """Read a type from its name, as ``ap_fixed<16,6>`` or ``ufixed<8,0,RND,SAT>``.

        Raises
        ------
        ConfigError
            If it is none.
        """
        found = _TEXT.fullmatch("".join(text.split()))
        if found is None:
            raise ConfigError(f"{text!r} is no fixed-point type: expected one as ap_fixed<16,6> or fixed<16,6,RND,SAT>")
        unsigned, total, integer, rounding, overflow = found.groups()
        signed = not unsigned
        return cls(int(total), int(integer), signed, rounding or "TRN", overflow or "WRAP")  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Return its name in C++."""
        modes = "" if (self.rounding, self.overflow) == ("TRN", "WRAP") else f",AP_{self.rounding},AP_{self.overflow}"
        return f"ap_{'' if self.signed else 'u'}fixed<{self.total},{self.integer}{modes}>"

    @property
    def fraction(self) -> int:
        """Bits behind the point."""
        return self.total - self.integer

    @property
    def step(self) -> float:
        """Difference of two neighbours."""
        return 2.0**-self.fraction

    @property
    def lowest(self) -> float:
        """Smallest of them."""
        if not self.signed:
            return 0.0
        return -self.highest if self.overflow == "SAT_SYM" else -(2.0 ** (self.integer - 1))

    @property
    def highest(self) -> float:
        """Largest of them."""
        return 2.0 ** (self.integer - self.signed) - self.step

    def quantise(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return numbers as this type has them.

        Parameters
        ----------
        values : float array

        Returns
        -------
        float64 array
            NaN where there was NaN or an infinity: firmware has no such thing.
        """
        given = np.asarray(values, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            counts = given / self.step
            below = np.floor(counts)
            if self.rounding == "RND":
                counts = below + (counts - below >= 0.5)  # to add a half first would round what is just under it
            else:
                # What is so small that the quotient is zero is below zero nevertheless.
                counts = np.where((counts == 0) & (given < 0), -1.0, below)
            if self.overflow != "WRAP":
                bounded = np.clip(counts, self.lowest / self.step, self.highest / self.step)
                counts = np.where(np.isinf(given), np.nan, bounded)
            else:
                # Neither the quotient nor the difference rounds, however large the count.
                span, first = 2.0**self.total, self.lowest / self.step
                counts = np.where(np.isinf(counts) & np.isfinite(given), 0.0, counts)  # so many times the span
                counts = counts - span * np.floor(counts / span)
                counts = np.where(counts < span + first, counts, counts - span)
        return counts * self.step

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether numbers are finite and within its range; wrapped or cut to it they would be others."""
        given = np.asarray(values, np.float64)
        return (given >= self.lowest) & (given <= self.highest)


DEFAULT = Fixed(16, 6)
"""As hls4ml has it unless told otherwise."""
TABLE_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Types:
    """The numbers of one layer.

    Parameters
    ----------
    result : Fixed
        What it gives; sums before are exact.
    weight, bias : Fixed
        Of a layer that has some.
    table : Fixed
        Of a layer that looks functions up.
    table_size : int
        Entries of its tables; a power of two.
    """

    result: Fixed = DEFAULT
    weight: Fixed = DEFAULT
    bias: Fixed = DEFAULT
    table: Fixed = DEFAULT
    table_size: int = TABLE_SIZE
