from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.study.histogram import Histogram, quantile

TIMES = st.lists(st.floats(1e-6, 900.0), min_size=1, max_size=50)


def of(latencies_s: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.add(latencies_s)
    return histogram


@given(TIMES, st.floats(0.0, 1.0))
def test_a_quantile_is_right_to_two_percent(times: list[float], part: float) -> None:
    stored = of(times).latencies()
    assert stored is not None
    low = np.quantile(times, part, method="lower")
    high = np.quantile(times, part, method="higher")
    assert low * 0.98 <= quantile(stored, part) <= high * 1.02


@given(TIMES)
def test_what_is_stored_is_whole(times: list[float]) -> None:
    stored = of(times).latencies()
    assert stored is not None
    assert stored.count == sum(stored.counts) == len(times)
    assert len(stored.edges_s) == len(stored.counts) + 1
    assert stored.counts[0] > 0 < stored.counts[-1]
    assert (stored.least_s, stored.most_s) == (min(times), max(times))
    assert stored.mean_s == pytest.approx(np.mean(times))
    quantiles = [quantile(stored, part) for part in np.linspace(0, 1, 20)]
    assert all(low <= high for low, high in pairwise(quantiles))


@given(TIMES, TIMES)
def test_histograms_of_two_add_up_to_that_of_both(some: list[float], others: list[float]) -> None:
    added, both = of(some), of(some + others)
    added += pickle.loads(pickle.dumps(of(others)))
    left, right = added.latencies(), both.latencies()
    assert left is not None
    assert right is not None
    assert left.counts == right.counts
    assert left.mean_s == pytest.approx(right.mean_s)
    assert added.error_s == pytest.approx(both.error_s, abs=1e-4)


def test_the_error_of_a_mean() -> None:
    times = list(np.random.default_rng(1).normal(1.0, 0.1, 400))
    assert of(times).error_s == pytest.approx(0.1 / 20, rel=0.1)


def test_what_lies_beyond_the_bins_is_in_the_first_or_the_last() -> None:
    stored = of([0.0, 1e-9, 5000.0]).latencies()
    assert stored is not None
    assert (stored.counts[0], stored.counts[-1], stored.count) == (2, 1, 3)
    assert quantile(stored, 0.0) >= 0.0
    assert quantile(stored, 1.0) <= 5000.0


def test_of_nothing_there_is_nothing() -> None:
    assert Histogram().latencies() is None
    assert of([]).count == 0
    assert Histogram().mean_s == 0.0
