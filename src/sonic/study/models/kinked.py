"""What points tell of a model with a kink, of which chi2 has no curvature that means anything.

Errors are by fits to points that are drawn anew. But where all points lie on one side of the kink, a parameter of the
other side may have any value that keeps the kink beyond them: chi2 stays as small as it is up to the end of what makes
sense, and the fit stops wherever it happened to begin. Then the points give a bound, and no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.study.models.base import Points, Value
from sonic.study.models.minimum import minimum

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sonic.study.models.base import Model

    FloatArray = NDArray[np.float64]

_DRAWS = 40
_ONE_ERROR = (0.1587, 0.8413)
"""Of what is normal, within one standard error."""
_FAR = 1e9
_HALVINGS = 40


def spread(
    model: Model, to: Points, values: FloatArray, rise: float
) -> Callable[[Callable[[FloatArray], float]], Value]:
    """Return what says of any function of the parameters how well the points determine it.

    Parameters
    ----------
    model : Model
        Its parameters are positive.
    to : Points
        With errors.
    values : float array [k]
        Of the parameters, where chi2 is least.
    rise : float
        Of chi2 over its least: what it takes to exclude a value with 95 %.

    Raises
    ------
    ConfigError
        If iminuit is missing.
    """
    drawn = np.random.default_rng(1).normal(
        model.predict(to.clients, values), np.asarray(to.error), (_DRAWS, len(to.clients))
    )
    sample = [minimum(model, Points(to.clients, each, to.error), values, quick=True).values for each in drawn]
    ends = _open_ends(model, to, values, rise)

    def value(what: Callable[[FloatArray], float]) -> Value:
        best = float(what(values))
        concerned = [each for each in ends if what(each.bound) != what(_at(each.bound, each.parameter, each.end))]
        if len(concerned) > 1:
            return Value(float(np.nan), float(np.nan))  # one end up, perhaps, and the other down
        if concerned:
            (each,) = concerned
            bound, beyond = float(what(each.bound)), what(_at(each.bound, each.parameter, each.end))
            return Value(best, float(np.nan), *((bound, None) if beyond > bound else (None, bound)))
        # No mean of squares: a few draws may lie on one side of the kink, and run to the end of what makes sense.
        low, high = np.quantile([what(each) for each in sample], _ONE_ERROR, method="nearest")
        return Value(best, float(high - low) / 2 if np.isfinite(high) else float(np.nan))

    return value


@dataclass(frozen=True)
class _OpenEnd:
    """Of what makes sense for a parameter, if points do not exclude it; and the values at the bound that they give."""

    parameter: int
    end: float
    bound: FloatArray


def _open_ends(model: Model, to: Points, values: FloatArray, rise: float) -> list[_OpenEnd]:
    most = minimum(model, to, values, quick=True).chi2 + rise
    found = []
    for i, parameter in enumerate(model.parameters):
        ends = (parameter.low, min(parameter.high, _FAR * values[i]))
        for end, away in (ends, ends[::-1]):
            if minimum(model, to, _at(values, i, end), quick=True, fixed=i).chi2 < most:
                found.append(_OpenEnd(i, end, _bound(model, to, values, i, away, most)))
    return found


def _bound(model: Model, to: Points, values: FloatArray, i: int, away: float, most: float) -> FloatArray:
    """Return the values with which chi2 has risen to `most` on the way of parameter i to `away`."""
    inside, outside = np.log(values[i]), np.log(away)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        there = minimum(model, to, _at(values, i, np.exp(middle)), quick=True, fixed=i)
        inside, outside = (middle, outside) if there.chi2 < most else (inside, middle)
    return minimum(model, to, _at(values, i, np.exp(inside)), quick=True, fixed=i).values


def _at(values: FloatArray, i: int, value: float) -> FloatArray:
    moved = values.copy()
    moved[i] = value
    return moved
