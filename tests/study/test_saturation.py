"""Where throughput saturates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.study.saturation import PART, Saturation, measured

CLIENTS = np.array([1.0, 2, 4, 8, 16, 32])


def test_straight_lines_cross_at_the_knee() -> None:
    found = measured(CLIENTS, np.minimum(CLIENTS, 10.0) * 100)
    assert found.plateau == 1000
    assert found.knee == pytest.approx(10)
    # By a line from 8 clients, who get back after 10 ms each, to 16, after 16 ms.
    assert found.clients is not None
    assert found.clients / (0.010 + 0.006 * (found.clients - 8) / 8) == pytest.approx(950)
    assert (found.low, found.high) == (None, None)
    assert str(found) == "13.2"


def test_errors_give_an_interval_about_it() -> None:
    throughput = np.minimum(CLIENTS, 10.0) * 100
    loose, tight = (measured(CLIENTS, throughput, part * throughput) for part in (0.02, 0.005))
    assert loose.low is not None
    assert loose.high is not None
    assert tight.low is not None
    assert loose.low < tight.low < 13.2 < loose.high


def test_the_interval_covers_with_95_percent() -> None:
    # Of one point alone there is an error, so that each of its throughputs is one saturation point.
    throughput, error = np.minimum(CLIENTS, 10.0) * 100, np.array([0, 0, 0, 10.0, 0, 0])
    found = measured(CLIENTS, throughput, error)
    ends = [measured(CLIENTS, throughput + sigmas * error).clients for sigmas in (1.96, -1.96)]
    assert (found.low, found.high) == (pytest.approx(ends[0], abs=0.02), pytest.approx(ends[1], abs=0.02))


def test_what_may_not_be_saturated_may_be_so_at_the_last_point() -> None:
    found = measured(np.array([1.0, 2, 4, 8]), np.array([100.0, 190, 300, 310]), np.array([1.0, 1, 1, 30]))
    assert found.high == 8


def test_what_still_grows_has_no_saturation() -> None:
    found = measured(CLIENTS, CLIENTS * 100, CLIENTS)
    assert found.clients is None
    assert not found.reached
    assert str(found) == "not reached"


@pytest.mark.parametrize("error", [None, np.full(4, 5.0)])
def test_where_the_first_point_is_saturated_fewer_clients_may_do(error: np.ndarray | None) -> None:
    found = measured(np.array([8.0, 16, 32, 64]), np.array([500.0, 501, 502, 501]), error)
    assert (found.clients, found.low, found.high, found.knee) == (None, None, None, None)
    assert found.reached
    assert found.at_most == 8
    assert str(found) == "8 or fewer"


def test_one_point_and_a_server_that_one_client_saturates() -> None:
    assert measured(CLIENTS[:1], np.array([5.0])).clients is None
    assert measured(CLIENTS, np.full(6, 7.0)).clients == 1


@given(st.floats(0.5, 40.0), st.floats(1e-3, 1e5))
def test_it_does_not_depend_on_the_unit_and_lies_where_throughput_is_95_percent(knee: float, unit: float) -> None:
    throughput = unit * np.minimum(CLIENTS, knee)
    found = measured(CLIENTS, throughput)
    if found.clients is None:
        assert knee > 16
    else:
        cycle = float(np.interp(found.clients, CLIENTS, CLIENTS / throughput))
        assert found.clients / cycle >= PART * found.plateau * (1 - 1e-9)
        assert found.clients >= min(1, PART * knee) * (1 - 1e-9)


def test_an_interval_has_the_digits_that_tell_its_ends_apart() -> None:
    assert str(Saturation(plateau=1.0, clients=13.24, low=12.3, high=14.1, knee=10.0)) == "13.2 (12.3 to 14.1)"
    assert (
        str(Saturation(plateau=1.0, clients=152.03, low=151.98, high=152.08, knee=1.0)) == "152.03 (151.98 to 152.08)"
    )
    assert str(Saturation(plateau=1.0, clients=2.0, low=2.0, high=2.0, knee=1.0)) == "2 (2 to 2)"
