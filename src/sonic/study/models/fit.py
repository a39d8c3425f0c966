"""Fits of capacity models to measured points: parameters with errors, how well they do, and where they fail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import DataError
from sonic.study.load.stable import student
from sonic.study.models.base import Points, Value
from sonic.study.models.kinked import spread
from sonic.study.models.minimum import minimum
from sonic.study.models.queues import batching, hindered, measured_batches, queue
from sonic.study.models.simple import amdahl, bounds, scalability
from sonic.study.series import server_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sonic.study.models.base import Model, Parameter
    from sonic.study.series import Series

    FloatArray = NDArray[np.float64]

_RELATIVE_ERROR = 0.05
"""Where no errors are known, to begin with; chi2 then gives them their size."""
_EXACT = 1e-12
_EXCLUDED = 1.96**2
"""Over the least chi2: what is excluded with 95 %."""
_CHANCE = 0.05


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
    values : float array [k]
        Of the parameters, where chi2 is least.
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
    values: FloatArray
    at_limit: tuple[str, ...] = ()

    @property
    def bounded(self) -> tuple[str, ...]:
        """Parameters that the points do not determine: they bound them on one side."""
        return tuple(name for name, each in self.parameters.items() if each.bounded)

    @property
    def predicts(self) -> bool:
        """Whether the points determine where it saturates, and at what."""
        return not (self.capacity.bounded or self.saturation.bounded)

    @property
    def describes(self) -> bool:
        """Whether chance gives so large a chi2, or a larger one, in 5 of 100 cases at least, if the model is right."""
        from scipy.special import chdtrc

        return bool(chdtrc(self.ndf, self.chi2) >= _CHANCE)

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
        return self.model.predict(clients, self.values)


def points(series: Series) -> Points:
    """Return what can be fitted of a series of throughput by clients.

    Raises
    ------
    ConfigError
        If SciPy is missing.
    DataError
        If clients or throughput are not above zero.
    """
    if (series.x < 1).any() or (series.y <= 0).any():
        raise DataError(f"{series.label}: a fit needs one client and a throughput above 0 at least, at each point")
    reach = np.array([student(max((record.repeats or np.inf) - 1, 1)) for record in series.records])
    relative = (series.high - series.low) / 2 / reach / series.y
    known = np.isfinite(relative) & (relative > 0)
    if not known.any():
        return Points(series.x, series.y)
    typical = float(np.median(relative[known]))
    # Few repeats may agree by chance: no point counts as better known than half of them are.
    relative = np.where(known, np.maximum(relative, typical), typical)
    return Points(series.x, series.y, relative * series.y)


def models(series: Series) -> list[Model]:
    """Return the models that a series may be fitted with, by what its records say of instances and batches."""
    instances = {int(record.served("instances", 1)) for record in series.records}
    return [
        bounds(),
        amdahl(),
        scalability(),
        queue(max(1, instances.pop()) if len(instances) == 1 else 1),
        hindered(),
        batching(_batches(series)),
    ]


def fit(model: Model, to: Points) -> Fitted:
    """Fit a model by least squares.

    Errors are by the curvature of chi2. Where a model has a kink that means nothing: see
    :mod:`sonic.study.models.kinked`.

    Raises
    ------
    DataError
        If there are too few points, or no minimum is found.
    ConfigError
        If iminuit is missing.
    """
    names, count = [each.name for each in model.parameters], len(to.clients)
    if count <= len(names):
        raise DataError(f"{len(names)} parameters need more points than that, given {count}")
    error = to.error if to.error is not None else _RELATIVE_ERROR * to.throughput
    found = minimum(model, Points(to.clients, to.throughput, error), model.start(to))
    if not np.isfinite(found.chi2):
        raise DataError(f"no fit to {count} points")
    values, ndf = found.values, count - len(names)
    scale = max(found.chi2 / ndf, _EXACT) if to.error is None else max(1.0, found.chi2 / ndf)
    predicted = model.predict(to.clients, values)
    derived: Callable[[Callable[[FloatArray], float]], Value]
    if model.smooth:
        derived = partial(_propagated, values=values, covariance=scale * found.covariance)
    else:
        scaled = Points(to.clients, to.throughput, np.sqrt(scale) * error)
        derived = spread(model, scaled, values, _EXCLUDED if to.error is not None else _unlikely(scale, ndf))
    known = to.error is not None
    chi2 = found.chi2 if known else float(ndf)
    return Fitted(
        model=model,
        points=Points(to.clients, to.throughput, error if known else np.sqrt(scale) * error),
        parameters={name: derived(itemgetter(i)) for i, name in enumerate(names)},
        chi2=chi2,
        ndf=ndf,
        # Where the size of the errors is not known, it is one parameter more.
        aicc=_aicc(chi2, len(names), count) if known else _aicc(_unknown(scale * ndf, count), len(names) + 1, count),
        errors_known=known,
        predicted=predicted,
        capacity=derived(model.capacity),
        knee=derived(model.knee),
        saturation=derived(model.saturation),
        values=values,
        at_limit=tuple(each.name for each, at in zip(model.parameters, values, strict=True) if _ends(each, at)),
    )


def ranked(fits: Sequence[Fitted]) -> list[Fitted]:
    """Sort fits, the best first: by AICc; those with too few points to have one by chi2/ndf, then by deviation.

    Last come those that do not predict saturation, which the points only bound.
    """
    return sorted(fits, key=lambda each: (not each.predicts, each.aicc, each.chi2 / each.ndf, each.deviation))


def _aicc(misfit: float, k: int, count: int) -> float:
    return misfit + 2 * k + 2 * k * (k + 1) / (count - k - 1) if count > k + 1 else float(np.inf)


def _unknown(chi2: float, count: int) -> float:
    """Return twice the logarithm of the likelihood, negative, with the size of the errors that makes it largest."""
    return float(count * np.log(chi2 / count))


def _unlikely(scale: float, freedom: int) -> float:
    """Return what takes the place of :data:`_EXCLUDED` where errors have the size that makes chi2/ndf 1.

    Few points scatter little by chance, as Student's t has it. But as good as 5 % they are taken to be anyway.
    """
    return min(student(freedom) ** 2, _EXCLUDED * max(1.0, 1.0 / scale))


def _ends(parameter: Parameter, at: float) -> bool:
    low, high = parameter.low, parameter.high
    span = high - low if np.isfinite(high) else max(abs(at), 1e-6)
    return bool(at - low < 1e-6 * span or high - at < 1e-6 * span)


def _propagated(what: Callable[[FloatArray], float], values: FloatArray, covariance: FloatArray) -> Value:
    """Return a function of parameters, and its error by its slopes."""
    if not np.isfinite(what(values)):
        return Value(what(values), float(np.nan))
    slopes = np.zeros(len(values))
    for i, variance in enumerate(np.diag(covariance)):
        step = np.zeros(len(values))
        step[i] = min(0.1 * float(np.sqrt(variance)), 0.01 * abs(values[i])) or 1e-9
        slopes[i] = (what(values + step) - what(values - step)) / (2 * step[i])
    return Value(what(values), float(np.sqrt(max(float(slopes @ covariance @ slopes), 0.0))))


def _batches(series: Series) -> Callable[[FloatArray], FloatArray] | None:
    """Batches by the number of requests at the server, where its statistics tell."""
    at_server, batch = [], []
    for record in series.records:
        server = server_window(record)
        if server is None or not server.executions or not server.duration_s:
            return None
        rate = server.requests / server.duration_s  # of its own: a series may count rows, or chunks of jobs
        at_server.append(rate * (server.queue_s + server.input_s + server.infer_s + server.output_s))
        batch.append(server.requests / server.executions)
    return measured_batches(np.array(at_server), np.array(batch))
