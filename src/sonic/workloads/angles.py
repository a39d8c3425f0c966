"""Angles around the beam. Pure."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np

Angles = TypeVar("Angles")
"""Numbers, or arrays of numpy or awkward."""


def wrap(phi: Angles) -> Angles:
    """Bring angles into [-pi, pi)."""
    angles: Any = phi
    return cast("Angles", (angles + np.pi) % (2 * np.pi) - np.pi)
