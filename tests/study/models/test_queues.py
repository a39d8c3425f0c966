"""Servers as queues: what instances and batches are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.study.models.queues import batching, hindered, measured_batches, queue

CLIENTS = np.array([1.0, 2, 4, 8, 16, 32, 64])


@given(st.floats(1e-4, 1.0), st.floats(1e-4, 1.0), st.integers(1, 5))
def test_instances_double_the_capacity_and_nothing_else(elsewhere_s: float, service_s: float, servers: int) -> None:
    model, values = queue(servers), np.array([elsewhere_s, service_s])
    assert model.capacity(values) == pytest.approx(servers / service_s)
    assert model.predict(np.array([1.0]), values)[0] == pytest.approx(1 / (elsewhere_s + service_s))
    np.testing.assert_allclose(
        model.predict(CLIENTS, values), hindered().predict(CLIENTS, np.append(values, servers)), rtol=1e-9
    )


def test_saturation_is_where_95_percent_are_reached() -> None:
    model, values = queue(2), np.array([0.1, 0.01])
    at = model.saturation(values)
    assert model.knee(values) == pytest.approx(22)
    assert at > 22
    below, above = model.predict(np.array([np.floor(at), np.ceil(at)]), values)
    assert below < 0.95 * 200 <= above


def test_a_server_that_batches_gets_faster_as_more_wait() -> None:
    values = np.array([0.001, 0.01, 0.001])
    alone, together = batching(most=1), batching(most=32)
    assert alone.capacity(values) == pytest.approx(1 / 0.011)
    assert together.capacity(values) == pytest.approx(32 / 0.042)
    assert together.predict(CLIENTS, values)[0] == pytest.approx(alone.predict(CLIENTS, values)[0])
    assert together.predict(CLIENTS, values)[-1] > 7 * alone.predict(CLIENTS, values)[-1]
    assert batching().capacity(values) == pytest.approx(1 / 0.001, rel=1e-3)


def test_batches_between_measured_ones() -> None:
    size = measured_batches(np.array([4.0, 2.0, 9.0]), np.array([3.0, 1.5, 2.9]))
    np.testing.assert_allclose(size(np.array([0.5, 1, 2, 3, 4, 9, 100])), [1, 1, 1.5, 2.25, 3, 3, 3])


def test_between_whole_clients_there_is_a_line() -> None:
    model, values = queue(), np.array([0.1, 0.01])
    one, half, two = model.predict(np.array([1.0, 1.5, 2.0]), values)
    assert half == pytest.approx((one + two) / 2)


def test_no_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="a server or more, given 0"):
        queue(0)
