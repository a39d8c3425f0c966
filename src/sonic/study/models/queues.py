"""A server as a queue that clients come back to, each after a time elsewhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError
from sonic.study.models.base import Model, Parameter
from sonic.study.models.closed import fixed_rates, solve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sonic.study.models.base import Points

    FloatArray = NDArray[np.float64]

_ELSEWHERE = Parameter("elsewhere_s", "from an answer to the client's next request at the server")
_SERVICE = Parameter("service_s", "of one request", low=1e-9)
_REISER = "Reiser and Lavenberg, J. ACM 27 (1980) 313"


def queue(servers: int = 1) -> Model:
    """Return a queue served by so many equal instances, one request at a time each.

    Parameters
    ----------
    servers : int
        From 1.

    Raises
    ------
    ConfigError
    """
    if servers < 1:
        raise ConfigError(f"a queue has a server or more, given {servers}")
    return Model(
        name="mva",
        text=f"a queue before {servers} equal instance{'s' * (servers > 1)}, one request at a time each",
        source=_REISER,
        parameters=(_ELSEWHERE, _SERVICE),
        rate=lambda clients, values: _rate(clients, values[0], lambda n: fixed_rates(values[1], servers, n)),
        start=lambda points: [_elsewhere(points, servers / points.most), servers / points.most],
        capacity=lambda values: servers / values[1],
        alone=lambda values: 1.0 / (values[0] + values[1]),
    )


def hindered() -> Model:
    """Return a queue before instances that hinder each other: what they are worth together is fitted."""
    return Model(
        name="mva-instances",
        text="a queue before instances that hinder each other and are worth `instances` alone",
        source=_REISER,
        parameters=(_ELSEWHERE, _SERVICE, Parameter("instances", "whole ones, by their throughput", low=1.0)),
        rate=lambda clients, values: _rate(clients, values[0], lambda n: fixed_rates(values[1], values[2], n)),
        start=lambda points: [_elsewhere(points, 1.5 / points.most), 1.5 / points.most, 1.5],
        capacity=lambda values: values[2] / values[1],
        alone=lambda values: 1.0 / (values[0] + values[1]),
    )


def batching(batch_of: Callable[[FloatArray], FloatArray] | None = None, most: float = np.inf) -> Model:
    """Return a server that executes what waits together: the more wait, the faster it is.

    Parameters
    ----------
    batch_of : callable, optional
        Requests that a mean execution takes while so many are at the server, as measured (:func:`measured_batches`);
        by default all of them.
    most : float
        That it takes at most.
    """

    def size(waiting: FloatArray) -> FloatArray:
        return np.clip(waiting if batch_of is None else batch_of(waiting), 1.0, most)

    def rates(execution_s: float, request_s: float, n: int) -> FloatArray:
        batch = size(np.arange(1.0, n + 1))
        return batch / (execution_s + request_s * batch)

    def capacity(values: FloatArray) -> float:
        largest = float(size(np.array([1e9]))[0])
        return float(largest / (values[1] + values[2] * largest))

    return Model(
        name="mva-batching",
        text="a queue before a server whose rate depends on how many wait, by the batches that they form",
        source=f"{_REISER}, stations whose rate depends on their load",
        parameters=(
            _ELSEWHERE,
            Parameter("execution_s", "of an execution, whatever its batch", low=1e-9),
            Parameter("request_s", "more for each request in it", low=1e-9),
        ),
        rate=lambda clients, values: _rate(clients, values[0], lambda n: rates(values[1], values[2], n)),
        start=lambda points: [_elsewhere(points, 1.5 / points.most), 0.5 / points.most, 1.0 / points.most],
        capacity=capacity,
        alone=lambda values: 1.0 / (values[0] + values[1] + values[2]),
    )


def measured_batches(at_server: FloatArray, batch: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return the batch by the number of requests at the server, between measured ones by straight lines.

    Parameters
    ----------
    at_server : float array [n]
        Mean number of requests there.
    batch : float array [n]
        Requests of a mean execution.
    """
    order = np.argsort(at_server)
    # One request makes a batch of one; and a batch does not shrink because more wait, whatever noise says.
    x = np.concatenate([[1.0], np.maximum(at_server[order], 1.0 + 1e-9)])
    y = np.concatenate([[1.0], np.maximum(batch[order], 1.0)])
    grown = np.maximum.accumulate(y)
    return lambda waiting: np.asarray(np.interp(waiting, x, grown), float)


def _elsewhere(points: Points, service_s: float) -> float:
    return max(points.cycle_s - service_s, 0.05 * points.cycle_s)


def _rate(clients: FloatArray, elsewhere_s: float, rates: Callable[[int], FloatArray]) -> FloatArray:
    # Clients are whole; a curve between them is drawn by straight lines.
    whole = np.unique(np.concatenate([np.floor(clients), np.ceil(clients)]).astype(int))
    solved = solve(float(elsewhere_s), [rates(int(whole[-1]))], whole.tolist())
    return np.asarray(np.interp(clients, whole, solved.throughput), float)
