"""Fits of capacity models to measured points: parameters with errors, how well they do, and where they fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError, DataError
from sonic.study.models.base import Points
from sonic.study.models.queues import batching, hindered, measured_batches, queue
from sonic.study.models.simple import amdahl, bounds, scalability
from sonic.study.series import server_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sonic.study.models.base import Model, Parameter
    from sonic.study.series import Series

    FloatArray = NDArray[np.float64]

_LEAST_OF_MEDIAN = 0.5
"""Few repeats may agree by chance: no point counts as better known than this part of the median relative error."""
_RELATIVE_ERROR = 0.05
"""Where no errors are known, to begin with; chi2 then gives them their size."""


@dataclass(frozen=True)
class Value:
    """A number and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Fitted:
    """A model fitted to points.

    Parameters
    ----------
    model : Model
    points : Points
    parameters : dict of str to Value
        Where chi2/ndf is above 1, the errors are larger by its square root, as the Particle Data Group has it.
    chi2 : float
    ndf : int
    aicc : float
        Akaike's criterion, corrected for few points (Hurvich and Tsai, Biometrika 76 (1989) 297): of several models
        the one with the least is best; infinite if there are too few points to tell.
    errors_known : bool
        If not, all points have the same relative error, of the size that makes chi2/ndf 1: it says nothing then.
    predicted : float array [n]
        1/s, at the points.
    capacity, knee, saturation : Value
        See :mod:`sonic.study.saturation`; infinite where the model has none.
    at_limit : tuple of str
        Parameters that stopped at the end of what makes sense; their errors say little.
    """

    model: Model
    points: Points
    parameters: dict[str, Value]
    chi2: float
    ndf: int
    aicc: float
    errors_known: bool
    predicted: FloatArray
    capacity: Value
    knee: Value
    saturation: Value
    at_limit: tuple[str, ...] = ()

    @property
    def pulls(self) -> FloatArray:
        """What was measured less what is predicted, over the error [n]."""
        assert self.points.error is not None  # noqa: S101 - a fit has given them one
        return (self.points.throughput - self.predicted) / self.points.error

    @property
    def texts(self) -> dict[str, str]:
        """What the parameters mean."""
        return {each.name: each.text for each in self.model.parameters}

    @property
    def worst(self) -> int:
        """Index of the point with the largest pull."""
        return int(np.argmax(np.abs(self.pulls)))

    @property
    def deviation(self) -> float:
        """Root mean square of the relative difference between measured and predicted."""
        return float(np.sqrt(np.mean((self.predicted / self.points.throughput - 1) ** 2)))

    def predict(self, clients: FloatArray) -> FloatArray:
        """Return throughput at other numbers of clients, 1/s."""
        return self.model.predict(clients, np.array([each.value for each in self.parameters.values()]))


def points(series: Series) -> Points:
    """Return what can be fitted of a series of throughput by clients.

    Raises
    ------
    ConfigError
        If SciPy is missing.
    DataError
        If clients or throughput are not above zero.
    """
    try:
        from scipy.special import stdtrit
    except ImportError:
        raise ConfigError("fits need SciPy: pip install 'sonic-hep[study]'") from None
    if (series.x < 1).any() or (series.y <= 0).any():
        raise DataError(f"{series.label}: a fit needs one client and a throughput above 0 at least, at each point")
    repeats = np.array([len(record.windows) or np.inf for record in series.records])
    error = (series.high - series.low) / 2 / stdtrit(np.maximum(repeats - 1, 1), 0.975)
    relative = error / series.y
    known = np.isfinite(relative) & (relative > 0)
    if not known.any():
        return Points(series.x, series.y)
    typical = float(np.median(relative[known]))
    relative = np.where(known, np.maximum(relative, _LEAST_OF_MEDIAN * typical), typical)
    return Points(series.x, series.y, relative * series.y)


def models(series: Series) -> list[Model]:
    """Return the models that a series may be fitted with, by what its records say of instances and batches."""
    settings = [record.settings for record in series.records]
    instances = {each.get("instances", 1) for each in settings}
    servers = instances.pop() if len(instances) == 1 else 1
    return [
        bounds(),
        amdahl(),
        scalability(),
        queue(servers if isinstance(servers, int) and servers > 0 else 1),
        hindered(),
        batching(_batches(series)),
    ]


def fit(model: Model, to: Points) -> Fitted:
    """Fit a model by least squares.

    Raises
    ------
    DataError
        If there are too few points, or no minimum is found.
    ConfigError
        If iminuit is missing.
    """
    try:
        from iminuit import Minuit
    except ImportError:
        raise ConfigError("fits need iminuit: pip install 'sonic-hep[study]'") from None
    names, count = [each.name for each in model.parameters], len(to.clients)
    if count <= len(names):
        raise DataError(f"{model.name} has {len(names)} parameters and needs more points than that, given {count}")
    error = to.error if to.error is not None else _RELATIVE_ERROR * to.throughput

    def chi2(*values: float) -> float:
        return float((((to.throughput - model.predict(to.clients, np.array(values))) / error) ** 2).sum())

    minuit = Minuit(chi2, *model.start(to), name=names)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.limits = [(each.low, each.high if np.isfinite(each.high) else None) for each in model.parameters]
    minuit.strategy = 2
    minuit.migrad(ncall=5000)
    if not minuit.valid:
        minuit.simplex(ncall=5000).migrad(ncall=5000)  # a kink may stop what follows gradients
    found = float(minuit.fval)
    if not np.isfinite(found):
        raise DataError(f"{model.name}: no fit to {count} points")
    minuit.hesse()
    values = np.array(minuit.values)
    ndf = count - len(names)
    scale = found / ndf if to.error is None else max(1.0, found / ndf)
    covariance = np.diag(np.square(minuit.errors)) if minuit.covariance is None else np.array(minuit.covariance)
    errors = np.sqrt(scale * np.diag(covariance))
    if to.error is None:
        error, found = error * np.sqrt(scale), found / scale

    def derived(what: Callable[[FloatArray], float]) -> Value:
        return Value(what(values), _propagated(what, values, scale * covariance))

    return Fitted(
        model=model,
        points=Points(to.clients, to.throughput, error),
        parameters={name: Value(float(v), float(e)) for name, v, e in zip(names, values, errors, strict=True)},
        chi2=found,
        ndf=ndf,
        aicc=_aicc(found if to.error is not None else count * np.log(scale * ndf / count), len(names), count, to),
        errors_known=to.error is not None,
        predicted=model.predict(to.clients, values),
        capacity=derived(model.capacity),
        knee=derived(model.knee),
        saturation=derived(model.saturation),
        at_limit=tuple(each.name for each, at in zip(model.parameters, values, strict=True) if _ends(each, at)),
    )


def best(fits: Sequence[Fitted]) -> Fitted:
    """Return the fit with the least AICc; of those with too few points to have one, that with the least chi2/ndf."""
    return min(fits, key=lambda each: (each.aicc, each.chi2 / each.ndf, each.deviation))


def _aicc(misfit: float, parameters: int, count: int, to: Points) -> float:
    k = parameters + (to.error is None)  # the size of the errors is one more
    return misfit + 2 * k + 2 * k * (k + 1) / (count - k - 1) if count > k + 1 else float(np.inf)


def _ends(parameter: Parameter, at: float) -> bool:
    low, high = parameter.low, parameter.high
    span = high - low if np.isfinite(high) else max(abs(at), 1e-6)
    return bool(at - low < 1e-6 * span or high - at < 1e-6 * span)


def _propagated(what: Callable[[FloatArray], float], values: FloatArray, covariance: FloatArray) -> float:
    """Return the standard error of a function of parameters, by its slopes."""
    if not np.isfinite(what(values)):
        return float(np.nan)
    slopes = np.zeros(len(values))
    for i, variance in enumerate(np.diag(covariance)):
        step = np.zeros(len(values))
        step[i] = min(0.1 * float(np.sqrt(variance)), 0.01 * abs(values[i])) or 1e-9
        slopes[i] = (what(values + step) - what(values - step)) / (2 * step[i])
    return float(np.sqrt(max(float(slopes @ covariance @ slopes), 0.0)))


def _batches(series: Series) -> Callable[[FloatArray], FloatArray] | None:
    """Batches by the number of requests at the server, where its statistics tell."""
    at_server, batch = [], []
    for throughput, record in zip(series.y, series.records, strict=True):
        server = server_window(record)
        if server is None or not server.executions:
            return None
        at_server.append(throughput * (server.queue_s + server.input_s + server.infer_s + server.output_s))
        batch.append(server.requests / server.executions)
    return measured_batches(np.array(at_server), np.array(batch))
