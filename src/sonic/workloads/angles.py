"""Angles around the beam. Pure."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

Angles = TypeVar("Angles")
"""Numbers, or arrays of numpy or awkward."""


def wrap(phi: Angles) -> Angles:
    """Bring angles into [-pi, pi); those that are in it stay as they are, to the last digit."""
    angles: Any = phi
    return cast("Angles", angles - 2 * np.pi * np.floor(angles / (2 * np.pi) + 0.5))
