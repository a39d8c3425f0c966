"""Capacity models of one line: two bounds, Amdahl's law, the universal scalability law. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sonic.study.models.base import Model, Parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sonic.study.models.base import Points

    FloatArray = NDArray[np.float64]


def bounds() -> Model:
    """Return ProtoDUNE's formula as throughput: a client is as fast as if alone, until the server is always busy.

    Of its parameters throughput tells two: t_ideal, and t_gpu over the number of GPUs.
    :class:`sonic.study.models.protodune.ProtoDune` has all of them.
    """
    return Model(
        name="protodune",
        text="clients are as fast as if alone until the server is always busy",
        source="arXiv:2009.04509, section 4",
        parameters=(
            Parameter("ideal_s", "from one request of a client to its next, if alone", low=1e-9),
            Parameter("service_s", "of the server for a request: t_gpu over the number of GPUs", low=1e-9),
        ),
        rate=lambda clients, values: np.minimum(clients / values[0], 1.0 / values[1]),
        start=lambda points: [points.cycle_s, 1.0 / points.most],
        capacity=lambda values: 1.0 / values[1],
        alone=lambda values: 1.0 / values[0],
        smooth=False,
    )


def amdahl() -> Model:
    """Return Amdahl's law: a part of each request's work goes one after another."""
    return Model(
        name="amdahl",
        text="a part of each request's work goes one after another",
        source="Amdahl, AFIPS Spring Joint Computer Conference 30 (1967) 483",
        parameters=(
            Parameter("rate_per_s", "throughput of one client", low=1e-9),
            Parameter("serial_part", "of the work that no other client can do meanwhile", high=1.0),
        ),
        rate=lambda clients, values: values[0] * clients / (1 + values[1] * (clients - 1)),
        start=lambda points: [1.0 / points.cycle_s, _serial(points)],
        capacity=lambda values: values[0] / values[1] if values[1] > 0 else np.inf,
        alone=lambda values: float(values[0]),
    )


def scalability() -> Model:
    """Return Gunther's universal scalability law: as Amdahl's, and clients cost each other time, pair by pair."""

    def peak(values: FloatArray) -> float:
        _, contention, coherency = values
        if coherency <= 0:
            return float(np.inf)
        middle = max(1.0, float(np.sqrt(max(1.0 - contention, 0.0) / coherency)))
        beside = np.array([np.floor(middle), np.ceil(middle)])  # clients are whole
        return float(beside[np.argmax(_universal(beside, values))])

    def capacity(values: FloatArray) -> float:
        rate, contention, coherency = values
        if coherency <= 0:
            return rate / contention if contention > 0 else np.inf
        return float(_universal(np.array([peak(values)]), values)[0])

    return Model(
        name="usl",
        text="as Amdahl's law, and each pair of clients costs time: throughput may fall again",
        source="Gunther, Guerrilla Capacity Planning, Springer 2007",
        parameters=(
            Parameter("rate_per_s", "throughput of one client", low=1e-9),
            Parameter("contention", "part of the work that goes one after another", high=1.0),
            Parameter("coherency", "part of the work that each pair of clients adds", high=1.0),
        ),
        rate=_universal,
        start=lambda points: [1.0 / points.cycle_s, _serial(points), 1e-4],
        capacity=capacity,
        alone=lambda values: float(values[0]),
        peak=peak,
    )


def _universal(clients: FloatArray, values: FloatArray) -> FloatArray:
    rate, contention, coherency = values
    return np.asarray(rate * clients / (1 + contention * (clients - 1) + coherency * clients * (clients - 1)), float)


def _serial(points: Points) -> float:
    return float(np.clip(1.0 / (points.cycle_s * points.most), 1e-3, 0.9))
