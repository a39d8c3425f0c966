"""What is remembered of messages that look like the last one: of how many, and with which datatypes."""

from __future__ import annotations

import sys
from typing import TypeVar

import numpy as np

K = TypeVar("K")
V = TypeVar("V")

MOST = 256
"""Forms that are remembered. Where every request has a shape of its own, nothing is gained, and little must be lost."""

LONGEST_BYTES = 1 << 12
"""Around the contents of a message that is remembered: others could fill the memory."""

_KINDS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
PLAIN_DTYPES = frozenset(np.dtype(kind) for kind in _KINDS if sys.byteorder == "little")
"""Whose bytes on the wire are those in memory, and whatever they are, make sense."""


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Note a form; where there are too many, all others are forgotten."""
    if len(known) >= MOST:
        known.clear()
    known[key] = value
