"""The parameters of a model with which chi2 is least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sonic.study.models.base import Model, Points

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Minimum:
    """Of chi2.

    Parameters
    ----------
    values : float array [k]
        Of the parameters.
    chi2 : float
    covariance : float array [k, k]
        Without meaning if it was searched quickly.
    """

    values: FloatArray
    chi2: float
    covariance: FloatArray


def minimum(
    model: Model, to: Points, start: Sequence[float] | FloatArray, *, quick: bool = False, fixed: int | None = None
) -> Minimum:
    """Minimise chi2.

    Parameters
    ----------
    model : Model
    to : Points
        With errors.
    start : sequence of float [k]
    quick : bool
        Without errors of the parameters.
    fixed : int, optional
        A parameter that stays as it starts.

    Raises
    ------
    ConfigError
        If iminuit is missing.
    """
    try:
        from iminuit import Minuit
    except ImportError:
        raise ConfigError("fits need iminuit: pip install 'sonic-hep[study]'") from None

    error = np.asarray(to.error, float)

    def chi2(values: FloatArray) -> float:
        return float((((to.throughput - model.predict(to.clients, values)) / error) ** 2).sum())

    minuit = Minuit(chi2, np.asarray(start, float), name=[each.name for each in model.parameters])
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.limits = [(each.low, each.high if np.isfinite(each.high) else None) for each in model.parameters]
    if fixed is not None:
        minuit.fixed[fixed] = True
    minuit.strategy = 1 if quick else 2
    minuit.migrad(ncall=5000)
    if not minuit.valid:
        minuit.simplex(ncall=5000).migrad(ncall=5000)  # a kink may stop what follows gradients
    if not quick:
        minuit.hesse()
    covariance = np.diag(np.square(minuit.errors)) if minuit.covariance is None else np.array(minuit.covariance)
    return Minimum(np.array(minuit.values), float(minuit.fval), covariance)
