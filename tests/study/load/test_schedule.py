from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.study.load.schedule import due_times_s

RATES = st.floats(0.1, 1e4)


@given(RATES, st.integers(1, 5))
def test_constant_arrivals_of_several_processes_are_those_of_one(rate: float, parts: int) -> None:
    times = sorted(
        time for part in range(parts) for time in islice(due_times_s(rate, "constant", part=part, parts=parts), 20)
    )
    assert times == pytest.approx([number / rate for number in range(20 * parts)])


@given(RATES, st.integers(0, 9))
def test_random_arrivals_go_on_and_are_the_same_again(rate: float, seed: int) -> None:
    times = list(islice(due_times_s(rate, "poisson", seed=seed), 50))
    assert all(earlier < later for earlier, later in pairwise([0.0, *times]))
    assert times == list(islice(due_times_s(rate, "poisson", seed=seed), 50))


@pytest.mark.parametrize("parts", [1, 4])
def test_random_arrivals_have_the_rate_and_scatter_of_poissons(parts: int) -> None:
    rate, until_s = 200.0, 50.0
    times = np.array([])
    for part in range(parts):
        own = np.fromiter(islice(due_times_s(rate, "poisson", part=part, parts=parts), int(rate * 60)), float)
        times = np.append(times, own[own < until_s])
    counts = np.histogram(times, bins=500, range=(0, until_s))[0]
    assert counts.mean() == pytest.approx(20, rel=0.05)
    assert counts.var() == pytest.approx(20, rel=0.25)


def test_processes_have_arrivals_of_their_own() -> None:
    first, second = (list(islice(due_times_s(10, "poisson", part=part, parts=2), 5)) for part in range(2))
    assert first != second
