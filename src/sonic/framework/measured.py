"""Figures with their statistical errors, as analyzers may give them. Pure."""

from __future__ import annotations

import math
from typing import Any


class Measured(float):
    """A number that knows its statistical error; in all else a float.

    Written by ``str`` or in an f-string without a format, or with the format ``+`` for a sign, it has the digits that
    two digits of its error leave: ``0.976 +- 0.012``, or ``0.9935 +0.0012 -0.0015`` where the two sides differ.

    Parameters
    ----------
    value : float
    down : float
        How far the central 68 % interval goes below the value, 0 or more, in its unit; NaN: not known.
    up : float, optional
        How far it goes above; `down` unless given.
    """

    __slots__ = ("down", "up")

    down: float
    up: float

    def __new__(cls, value: float, down: float, up: float | None = None) -> Measured:
        """Take the number and its errors."""
        self = super().__new__(cls, value)
        self.down, self.up = float(down), float(down if up is None else up)
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return float(self), self.down, self.up

    def less(self, known: float) -> Measured:
        """Return what is left above a number that has no error."""
        return Measured(self - known, self.down, self.up)

    def scaled(self, factor: float) -> Measured:
        """Return it in another unit; the factor is positive."""
        return Measured(factor * self, factor * self.down, factor * self.up)

    def __str__(self) -> str:
        return format(self, "")

    def __format__(self, spec: str) -> str:
        if spec not in ("", "+"):
            return format(float(self), spec)
        larger = max(self.down, self.up)
        if not math.isfinite(self) or not math.isfinite(larger) or larger <= 0:
            return format(float(self), f"{spec}.5g")
        places = max(0, 1 - int(f"{larger:.1e}".partition("e")[2]))
        down, up = (f"{error:.{places}f}" for error in (self.down, self.up))
        errors = f"+- {up}" if down == up else f"+{up} -{down}"
        return f"{float(self):{spec}.{places}f} {errors}"
