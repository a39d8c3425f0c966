"""Columns as they are pickled: no more than the entries that they show, and quickly.

Awkward's own way suits every layout and takes 100 us for each. Nearly all columns of an output are flat or lists of
numbers, of which the arrays alone say everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index

if TYPE_CHECKING:
    from awkward.contents import Content


def packed(content: Content) -> Any:
    """Return what stands for a column in a pickle: an array, arrays with what they mean, or an ``ak.Array``."""
    if _plain(content) and not content.parameters:
        return content.data
    if type(content) is ListOffsetArray and _plain(content.content):
        offsets = np.asarray(content.offsets.data)
        first, last = int(offsets[0]), int(offsets[-1])
        data = content.content.data[first:last]
        return (offsets - first if first else offsets), data, content.parameters, content.content.parameters
    return ak.Array(content)  # packs itself


def unpacked(value: Any) -> Content:
    """Make the column again."""
    if isinstance(value, np.ndarray):
        return NumpyArray(value)
    if isinstance(value, tuple):
        offsets, data, parameters, inner = value
        return ListOffsetArray(Index(offsets), NumpyArray(data, parameters=inner), parameters=parameters)
    return value.layout


def _plain(content: Content) -> bool:
    return type(content) is NumpyArray and type(content.data) is np.ndarray
