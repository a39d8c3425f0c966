"""What anybody's Python code gives back, made the server's own."""

from __future__ import annotations

import numpy as np

from sonic.errors import ModelFailed


def plain(array: np.ndarray, name: str, model: str) -> np.ndarray:
    """Return an output as an array of numpy's own class, whatever the code makes its arrays of.

    Raises
    ------
    ModelFailed
        If values are masked: what is behind a mask is no result.
    """
    if np.ma.is_masked(array):
        raise ModelFailed(f"model {model!r}, output {name!r}: it has masked values: fill them first")
    return np.asarray(array)


def own(array: np.ndarray) -> np.ndarray:
    """Copy an output, whose memory the code may use again, in native byte order; texts become bytes."""
    if array.dtype.kind not in "OSU":
        return array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    copy = np.empty(array.size, np.object_)
    for position, element in enumerate(array.reshape(-1)):
        copy[position] = element if isinstance(element, bytes) else str(element).encode()
    return copy.reshape(array.shape)
