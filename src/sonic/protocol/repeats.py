"""What is remembered of messages that look like the last one: of how many, and with which datatypes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sonic.protocol.tensors import Buffer

Content = tuple[str, tuple[int, ...], "np.dtype[Any]", int]
"""A tensor in a message: its name, shape, dtype, and the byte at which it begins."""

LENGTHY_BYTES = 1 << 16
"""Of numbers and texts that have to be gone through one by one: from here on that takes milliseconds."""

K = TypeVar("K")
V = TypeVar("V")

MOST = 256
"""Forms that are remembered: few, for where every request has a shape of its own they only cost memory."""

LONGEST_BYTES = 1 << 12
"""Most bytes around the contents of a message that is remembered, or a few could fill the memory."""

_KINDS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
PLAIN_DTYPES = frozenset(np.dtype(kind) for kind in _KINDS if sys.byteorder == "little")
"""Those that are on the wire as they are in memory, and of which any bytes make sense."""


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Note a form; where there are too many, all others are forgotten."""
    if len(known) >= MOST:
        known.clear()
    known[key] = value


def form_of(arrays: Mapping[str, np.ndarray]) -> tuple[object, ...]:
    """Return whatever is the same of arrays whose messages differ in their contents alone."""
    return (*arrays, *[(array.dtype, array.shape) for array in arrays.values()])


def contents(arrays: Iterable[np.ndarray]) -> list[Buffer]:
    """Return the bytes of plain arrays on the wire, which share their memory where they can."""
    return [
        (array if array.flags.c_contiguous else np.ascontiguousarray(array)).reshape(-1).view(np.uint8).data
        for array in arrays
    ]


def arrays_in(data: Buffer, tensors: Iterable[Content]) -> dict[str, np.ndarray]:
    """Return plain arrays out of a message, aligned: views of it where they can be."""
    arrays = {}
    for name, shape, dtype, start in tensors:
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, start)
        arrays[name] = array if array.flags.aligned else array.copy()
    return arrays
