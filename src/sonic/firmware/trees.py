"""What decision trees give, of numbers and of symbols alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.firmware.layers import Trees

    Floats = NDArray[np.float64]


def scores(layer: Trees, thresholds: Floats, values: Floats, start: Floats, rows: Any) -> Any:
    """Return the sum of the leaves that rows come to.

    Parameters
    ----------
    layer : Trees
    thresholds, values : float64 array [nodes]
        The layer's, of their types.
    start : float64 array [outputs]
        Likewise.
    rows : array [N, features]
        Of numbers, or of whatever numpy's functions take.

    Returns
    -------
    array [N, outputs]
        Exact.
    """

    def below(node: int) -> Any:
        feature = layer.feature[node]
        if feature < 0:
            return values[node]
        given, threshold = rows[:, feature], thresholds[node]
        left = given < threshold if layer.strict else given <= threshold
        return np.where(left, below(layer.left[node]), below(layer.right[node]))

    nothing = np.sum(rows, axis=-1) * 0.0  # but NaN of a row with NaN
    sums = [nothing + first for first in start]
    for root, output in zip(layer.roots, layer.outputs, strict=True):
        sums[output] = sums[output] + below(root)
    return np.stack(sums, axis=-1)


def most(layer: Trees) -> int:
    """Return how many trees the output with the most of them has."""
    return int(np.bincount(layer.outputs, minlength=1).max())
