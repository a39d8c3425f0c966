"""Capacity models against the records of a study: each series by itself, all models, and what to think of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, DataError
from sonic.study import saturation
from sonic.study.models.fit import fit, models, points, ranked
from sonic.study.series import series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sonic.study.models.base import Value
    from sonic.study.models.fit import Fitted
    from sonic.study.records import Record
    from sonic.study.saturation import Saturation
    from sonic.study.series import Series

MODELS = ("protodune", "amdahl", "usl", "mva", "mva-instances", "mva-batching")


@dataclass(frozen=True)
class Comparison:
    """Of the models on one series.

    Parameters
    ----------
    series : Series
        Throughput by clients.
    measured : Saturation
    fits : tuple of Fitted
        The best first; none if the points are too few for all of them.
    refused : tuple of str
        Of each model that could not be fitted, why.
    x : str
        What throughput is against: ``clients``, or ``jobs`` that are simulated.
    """

    series: Series
    measured: Saturation
    fits: tuple[Fitted, ...]
    refused: tuple[str, ...] = ()
    x: str = "clients"


def compare(
    records: Sequence[Record], y: str = "throughput", by: Sequence[str] | None = None, names: Sequence[str] = MODELS
) -> list[Comparison]:
    """Fit models to all series of throughput by clients, or by jobs where these are simulated.

    Parameters
    ----------
    records : sequence of Record
        Those that are not measured are left out.
    y : str
        ``throughput`` or ``row_rate``.
    by : sequence of str, optional
        Settings that tell series apart; by default those of :func:`~sonic.study.series.telling`.
    names : sequence of str
        Of :data:`MODELS`.

    Raises
    ------
    DataError
        If there is no series, or none of the models can be fitted to any.
    ConfigError
        If a model is not known, or SciPy or iminuit are missing.
    """
    for name in names:
        if name not in MODELS:
            raise ConfigError(f"no model {name!r}: there are {', '.join(MODELS)}")
    asking = {name for record in records for name in ("clients", "jobs") if name in record.settings}
    x = "jobs" if asking == {"jobs"} else "clients"
    compared = [_compared(each, names, x) for each in series(records, x, y, by)]
    if not any(each.fits for each in compared):
        raise DataError("; ".join(f"{each.series.label}: no fit: {'; '.join(each.refused)}" for each in compared))
    return compared


def as_json(each: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON takes it: infinite and unknown numbers are null."""
    return {
        "series": each.series.label,
        "x": each.x,
        "clients": each.series.x.tolist(),
        "throughput": each.series.y.tolist(),
        "measured": {
            name: _finite(getattr(each.measured, name))
            for name in ("plateau", "clients", "low", "high", "at_most", "knee")
        }
        | {"reached": each.measured.reached},
        "fits": [_fit_as_json(one) for one in each.fits],
        "refused": list(each.refused),
    }


def _compared(of: Series, names: Sequence[str], x: str) -> Comparison:
    to = points(of)
    fits: list[Fitted] = []
    refused: dict[str, list[str]] = {}
    for model in models(of):
        if model.name not in names:
            continue
        try:
            fits.append(fit(model, to))
        except DataError as error:
            refused.setdefault(str(error), []).append(model.name)
    measured = saturation.measured(to.clients, to.throughput, to.error)
    said = tuple(f"{', '.join(which)}: {why}" for why, which in refused.items())
    return Comparison(of, measured, tuple(ranked(fits)), said, x)


def _fit_as_json(one: Fitted) -> dict[str, Any]:
    return {
        "model": one.model.name,
        "source": one.model.source,
        "parameters": {name: _value(each) for name, each in one.parameters.items()},
        "at_limit": list(one.at_limit),
        "bounded": list(one.bounded),
        "chi2": one.chi2 if one.errors_known else None,
        "ndf": one.ndf,
        "aicc": _finite(one.aicc),
        "deviation": one.deviation,
        "capacity": _value(one.capacity),
        "saturation": _value(one.saturation),
        "knee": _value(one.knee),
        "predicted": one.predicted.tolist(),
        "pulls": one.pulls.tolist(),
    }


def _value(of: Value) -> dict[str, float | None]:
    return {
        "value": None if of.bounded else _finite(of.value),
        "error": _finite(of.error),
        "at_least": _finite(of.at_least),
        "at_most": _finite(of.at_most),
    }


def _finite(number: float | None) -> float | None:
    return float(number) if number is not None and np.isfinite(number) else None
