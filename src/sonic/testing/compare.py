"""Whether two output files hold the same events, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

if TYPE_CHECKING:
    import os


def differences(first: str | os.PathLike[str], second: str | os.PathLike[str], *, tree: str = "Events") -> list[str]:
    """Compare a tree of two ROOT files branch by branch and bit by bit.

    A NaN equals only a NaN of the same bits, and ``-0.0`` differs from ``0.0``: the question is whether the very same
    computation was done.

    Parameters
    ----------
    first, second : path
    tree : str
        Name of the tree in both files.

    Returns
    -------
    list of str
        One line a difference; empty if there is none.
    """
    with uproot.open(first) as one, uproot.open(second) as two:
        left, right = one[tree], two[tree]
        if left.num_entries != right.num_entries:
            return [f"{left.num_entries} events against {right.num_entries}"]
        found = [f"branch {name} is in one file only" for name in sorted(set(left.keys()) ^ set(right.keys()))]
        for name in sorted(set(left.keys()) & set(right.keys())):
            difference = _difference(left[name].array(), right[name].array())
            if difference:
                found.append(f"branch {name}: {difference}")
        return found


def _difference(left: ak.Array, right: ak.Array) -> str:
    form, length, buffers = ak.to_buffers(ak.to_packed(left))
    other_form, other_length, other_buffers = ak.to_buffers(ak.to_packed(right))
    if form != other_form or length != other_length:
        return f"type {left.type} against {right.type}"
    for key, data in buffers.items():
        mine, others = np.atleast_1d(data), np.atleast_1d(other_buffers[key])
        if mine.shape != others.shape:
            return "lists of different lengths"
        if not mine.size:
            continue
        unequal = (mine.view(np.uint8) != others.view(np.uint8)).reshape(len(mine), -1).any(axis=1)
        if unequal.any():
            at = int(unequal.argmax())
            return f"{int(unequal.sum())} of {len(mine)} values differ, the first {mine[at]!r} against {others[at]!r}"
    return ""
