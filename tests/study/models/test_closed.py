"""Closed networks, against the textbook's recursion, their bounds and Little's law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.study.models.closed import fixed_rates, solve

SECONDS = st.floats(1e-4, 10.0)
THINK = st.one_of(st.just(0.0), st.floats(1e-4, 100.0))
ALL = range(1, 41)


def recursion(think_s: float, services_s: list[float], most: int) -> tuple[list[float], list[float]]:
    """Mean value analysis as Reiser and Lavenberg have it, for stations of one server."""
    queues, throughput = [0.0] * len(services_s), []
    last = []
    for n in range(1, most + 1):
        response = [s * (1 + q) for s, q in zip(services_s, queues, strict=True)]
        throughput.append(n / (think_s + sum(response)))
        queues = [throughput[-1] * r for r in response]
        last.append(queues[-1])
    return throughput, last


@given(THINK, st.lists(SECONDS, min_size=1, max_size=3))
def test_it_is_what_the_recursion_gives(think_s: float, services_s: list[float]) -> None:
    found = solve(think_s, [fixed_rates(each, 1, 40) for each in services_s], ALL)
    throughput, queue = recursion(think_s, services_s, 40)
    np.testing.assert_allclose(found.throughput, throughput, rtol=1e-9)
    np.testing.assert_allclose(found.queue, queue, rtol=1e-7)


@given(THINK, SECONDS, st.floats(1.0, 8.0))
def test_it_grows_between_its_bounds_and_obeys_little(think_s: float, service_s: float, servers: float) -> None:
    found = solve(think_s, [fixed_rates(service_s, servers, 40)], ALL)
    n = np.arange(1, 41)
    assert (np.diff(found.throughput) >= -1e-9 * found.throughput[1:]).all()
    most = np.minimum(n / (think_s + service_s), servers / service_s)
    assert (found.throughput <= most * (1 + 1e-9)).all()
    # No client ever waits for more than all the others, served one after another by one server.
    assert (found.throughput >= n / (think_s + n * service_s) * (1 - 1e-9)).all()
    assert (abs(found.queue - found.throughput * found.response_s) < 1e-6 * found.queue + 1e-9 * n).all()


def test_stations_that_never_make_one_wait_are_no_queues() -> None:
    found = solve(0.3, [np.arange(1.0, 41) / 0.1], ALL)
    np.testing.assert_allclose(found.throughput, np.arange(1, 41) / 0.4)


def test_thousands_of_clients_lose_no_digits() -> None:
    found = solve(100.0, [fixed_rates(0.01, 4, 60_000)], [10_000, 60_000])
    assert found.throughput[0] == pytest.approx(10_000 / 100.01, rel=1e-6)
    assert found.throughput[1] == pytest.approx(400)


@pytest.mark.parametrize(
    ("think_s", "rates", "clients", "said"),
    [
        (-1.0, [1.0], [1], "think time is a number of seconds from 0, given -1"),
        (np.nan, [1.0], [1], "think time"),
        (0.0, [1.0], [0], "one client or more"),
        (0.0, [1.0], [], "one client or more"),
        (0.0, [1.0], [2], "a rate above 0 for each of 1 to 2 requests"),
        (0.0, [0.0], [1], "a rate above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(think_s: float, rates: list[float], clients: list[int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        solve(think_s, [np.array(rates)], clients)
