"""Outputs as awkward arrays, texts too, of which awkward's own conversion from numpy makes none."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import awkward as ak

if TYPE_CHECKING:
    import numpy as np
    from awkward.contents import Content


def content_of(array: np.ndarray[Any, Any], *, regulararray: bool = False) -> Content:
    """Return an array of any of the protocol's datatypes as one of awkward's layouts; BYTES are bytestrings.

    Parameters
    ----------
    array : ndarray
    regulararray : bool
        As of ``awkward.from_numpy``; texts in several dimensions are regular in any case.
    """
    if not array.dtype.hasobject:
        return ak.from_numpy(array, regulararray=regulararray, highlevel=False)
    layout = ak.to_layout(ak.from_iter([b"", *array.reshape(-1)])[1:])  # one that says what they are if there are none
    for axis in range(array.ndim - 1, 0, -1):
        layout = ak.contents.RegularArray(layout, array.shape[axis], zeros_length=prod(array.shape[:axis]))
    return layout
