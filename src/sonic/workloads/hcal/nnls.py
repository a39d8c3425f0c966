"""Non-negative least squares, all fits of a batch at once.

Fits lie along the last axis, and all arithmetic is element by element: a fit's result is the same to the bit, whichever
fits it is done with.

C. L. Lawson and R. J. Hanson, "Solving Least Squares Problems" (1974), chapter 23: the active set method.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64] | NDArray[np.float32]


class Solved(NamedTuple):
    """Solutions.

    Attributes
    ----------
    x : float array [n, fits]
        None is negative.
    converged : bool array [fits]
        Whether the end was reached in time.
    """

    x: Reals
    converged: NDArray[np.bool_]


def nnls(normal: Reals, target: Reals, start: Reals | None = None, *, max_steps: int = 60) -> Solved:
    """Minimise ``x' N x - 2 t' x`` with no x negative.

    That is ``|A x - b|^2`` for ``N = A'A`` and ``t = A'b``.

    Parameters
    ----------
    normal : float array [n, n, fits]
        Positive definite.
    target : float array [n, fits]
    start : float array [n, fits], optional
        Where to begin, the sooner to end; none negative.
    max_steps : int
        Linear systems solved for a fit, at most.
    """
    x = np.zeros_like(target) if start is None else start.copy()
    converged = np.zeros(target.shape[1], bool)
    at = np.arange(target.shape[1])  # what is still to be done
    # All are brought to one scale, which makes "no longer falling" one number.
    scale = 1 / np.sqrt(np.einsum("iif->if", normal))
    matrix, vector = normal * scale[:, None] * scale[None, :], target * scale
    now = x / scale
    free = now > 0
    tolerance = 64 * np.finfo(target.dtype).eps * np.abs(vector).max(axis=0, initial=0.0)
    newest = np.full(len(at), -1)
    for _ in range(max_steps):
        solution = solve_spd(np.where(free[:, None] & free[None, :], matrix, np.eye(len(x))[:, :, None]), vector * free)
        below = free & (solution <= 0)
        inside = ~below.any(axis=0)
        # Where the solution is not allowed: as far towards it as is, and who meets zero first stays there.
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(below, now / (now - solution), np.inf)
        first = np.argmin(reach, axis=0)
        length = np.where(inside, 1.0, np.nan_to_num(reach.min(axis=0), nan=0.0, posinf=1.0)).astype(now.dtype)
        now = np.where(inside, np.where(free, solution, 0.0), now + length * (np.where(free, solution, 0.0) - now))
        own = np.flatnonzero(~inside)
        now[first[own], own] = 0.0
        free[first[own], own] = False
        # Who was let go and came straight back is not let go again: rounding alone made it look worth it.
        futile = ~inside & (first == newest) & (length == 0)
        slope = np.where(free, -np.inf, vector - _times(matrix, now))
        best = np.argmax(slope, axis=0)
        grows = inside & (slope.max(axis=0) > tolerance)
        done = (inside & ~grows) | futile
        own = np.flatnonzero(grows)
        free[best[own], own] = True
        newest = np.where(grows, best, -1)
        if done.any():
            x[:, at[done]] = np.maximum(now[:, done] * scale[:, done], 0)
            converged[at[done]] = True
            left = ~done
            if not left.any():
                return Solved(x, converged)
            at, newest, tolerance = at[left], newest[left], tolerance[left]
            matrix, vector, scale = matrix[..., left], vector[:, left], scale[:, left]
            now, free = now[:, left], free[:, left]
    x[:, at] = np.maximum(now * scale, 0)
    return Solved(x, converged)


def cholesky(matrix: Reals) -> Reals:
    """Return the lower triangles L with ``L L' = matrix``; float array [n, n, fits]. NaN where there is none."""
    lower = np.zeros_like(matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(len(matrix)):
            column = matrix[j:, j].copy()
            for k in range(j):
                column -= lower[j:, k] * lower[j, k]
            lower[j:, j] = column / np.sqrt(column[0])
    return lower


def forward(lower: Reals, right: Reals) -> Reals:
    """Return ``L^-1 right``, float array [n, columns, fits], for `right` of that shape."""
    done = right.copy()
    for i in range(len(lower)):
        for k in range(i):
            done[i] -= lower[i, k] * done[k]
        done[i] /= lower[i, i]
    return done


def solve_spd(matrix: Reals, right: Reals) -> Reals:
    """Solve positive definite systems.

    Parameters
    ----------
    matrix : float array [n, n, fits]
    right : float array [n, fits]

    Returns
    -------
    float array [n, fits]
    """
    lower = cholesky(matrix)
    done = forward(lower, right[:, None])[:, 0]
    for i in reversed(range(len(lower))):
        done[i] /= lower[i, i]
        done[:i] -= lower[i, :i] * done[i]
    return done


def _times(matrix: Reals, vector: Reals) -> Reals:
    total: Reals = matrix[:, 0] * vector[0]
    for k in range(1, len(vector)):
        total += matrix[:, k] * vector[k]
    return total
