"""A closed network of queues, solved exactly: so many clients, each with one request under way or thinking. Pure.

What mean value analysis (Reiser and Lavenberg, J. ACM 27 (1980) 313) gives, exact for networks with a product form. It
is computed from the normalisation constants (Buzen, Comm. ACM 16 (1973) 527), in logarithms: the recursion over mean
values loses all digits near saturation once a station's rate depends on its queue, which is what is of interest here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sonic.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Of a closed network, for some numbers of clients.

    Parameters
    ----------
    throughput : float array [n]
        Requests a second.
    response_s : float array [n]
        Mean time from a request to its answer, by Little's law.
    queue : float array [n]
        Mean number of requests at the last station, those in service counted.
    """

    throughput: FloatArray
    response_s: FloatArray
    queue: FloatArray


def fixed_rates(service_s: float, servers: float, clients: int) -> FloatArray:
    """Return the rate of a station of equal servers with 1 to `clients` requests, 1/s [clients].

    `servers` need not be whole: two that hinder each other can count as 1.7.
    """
    return np.asarray(np.minimum(np.arange(1.0, clients + 1), max(servers, 1.0)) / service_s, float)


def solve(think_s: float, stations: Sequence[FloatArray], clients: Sequence[int]) -> Solution:
    """Solve a network of a delay and stations, one after another.

    Parameters
    ----------
    think_s : float
        What a client spends elsewhere between an answer and its next request: thinking, and on the way.
    stations : sequence of float array [at least the largest number of clients]
        Of each, requests a second that leave it while 1, 2, ... are there; exact if it serves in order with
        exponential times, or shares itself among all.
    clients : sequence of int [n]
        The populations of interest.

    Raises
    ------
    ConfigError
        If a time or a rate makes no sense.
    """
    populations = np.asarray(clients, int)
    if not len(populations) or populations.min() < 1 or not stations:
        raise ConfigError("a closed network has one client or more, and a station or more")
    if not np.isfinite(think_s) or think_s < 0:
        raise ConfigError(f"think time is a number of seconds from 0, given {think_s}")
    most = int(populations.max())
    for rates in stations:
        if len(rates) < most or not (np.isfinite(rates).all() and (rates > 0).all()):
            raise ConfigError(f"a station has a rate above 0 for each of 1 to {most} requests, given {rates}")
    unit = 1.0 / float(stations[-1][-1])  # of time: any will do, and this one keeps the numbers near 1
    every = np.arange(most + 1)
    before = _delay(think_s / unit, most)
    for rates in stations[:-1]:
        before = _convolved(before, _station(rates[:most] * unit), every)
    last = _station(stations[-1][:most] * unit)
    together = _convolved(before, last, populations)
    throughput = np.exp(_convolved(before, last, populations - 1) - together) / unit
    waiting = last + np.log(np.maximum(every, 1e-300))
    queue = np.exp(_convolved(before, waiting, populations) - together)
    return Solution(throughput, populations / throughput - think_s, queue)


def _delay(think: float, most: int) -> FloatArray:
    n = np.arange(1, most + 1)
    with np.errstate(divide="ignore"):
        return np.concatenate([[0.0], n * np.log(think) - np.cumsum(np.log(n))])


def _station(rates: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], -np.cumsum(np.log(rates))])


def _convolved(a: FloatArray, b: FloatArray, at: NDArray[np.int64]) -> FloatArray:
    """Terms `at` of the convolution of two series; series and terms by their logarithms."""
    found = np.empty(len(at))
    for i, n in enumerate(at):
        terms = a[: n + 1] + b[n::-1]
        top = terms.max()
        found[i] = top + np.log(np.exp(terms - top).sum())
    return found
