from __future__ import annotations

import sys

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.study.load.stable import disagreement, estimate, growth
from sonic.study.load.tally import Tally


def windows(*counts: int, latency_s: float = 0.1, scatter: float = 0.0, grow: float = 1.0) -> list[Tally]:
    made = []
    random = np.random.default_rng(0)
    for number, count in enumerate(counts):
        tally = Tally(duration_s=1.0, requests=count)
        tally.latencies.add(latency_s * grow**number * random.lognormal(0.0, scatter, count))
        made.append(tally)
    return made


def test_an_interval_is_as_wide_as_student_says() -> None:
    found = estimate([9.0, 10.0, 11.0])
    assert found.value == 10.0
    assert found.high == pytest.approx(10 + 4.302653 / np.sqrt(3))
    assert found.low == pytest.approx(10 - 4.302653 / np.sqrt(3))


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    found = [estimate(list(random.normal(5.0, 1.0, 4))) for _ in range(2000)]
    covered = [each.low < 5.0 < each.high for each in found if each.low is not None and each.high is not None]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_of_one_repeat_there_is_no_interval() -> None:
    assert estimate([3.0]).low is None


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ConfigError, match=r"pip install 'sonic-hep\[study\]'"):
        estimate([1.0, 2.0])


def test_windows_that_agree() -> None:
    assert disagreement(windows(1000, 1040, 990), 0.1) == ""
    assert disagreement(windows(1000, 1040, 990, scatter=0.5), 0.1) == ""


def test_windows_that_do_not_agree_in_throughput() -> None:
    said = disagreement(windows(1000, 1000, 1300), 0.1)
    assert said == "throughput of 3 windows is up to 18.1% off their mean, expected 10% at most"


def test_what_is_off_does_not_read_as_what_is_expected() -> None:
    assert "up to 10.5% off their mean, expected 10%" in disagreement(windows(10_000, 10_000, 8_500), 0.1)


def test_a_latency_that_grows_is_not_stable() -> None:
    assert "latency of 3 windows is up to" in disagreement(windows(1000, 1000, 1000, grow=1.5), 0.1)


def test_a_request_more_or_less_is_chance() -> None:
    assert disagreement(windows(3, 2, 3), 0.01) == ""
    assert "throughput" in disagreement(windows(30, 20, 30), 0.01)


def test_the_number_of_random_arrivals_is_chance() -> None:
    assert disagreement(windows(100, 120, 95), 0.05, random=True) == ""
    assert "throughput" in disagreement(windows(100, 120, 95), 0.05)


def test_windows_without_a_request() -> None:
    assert disagreement(windows(0, 0, 0), 0.1) == "no request ended in 3 s"


def test_a_job_has_no_latency() -> None:
    assert disagreement([Tally(duration_s=1.0, requests=10)] * 3, 0.1) == ""


def overloaded(first: int, scatter: float = 0.0) -> list[Tally]:
    """Three windows of a server that is asked for 1.2 times what it can do, from a window on."""
    made = []
    random = np.random.default_rng(0)
    for start_s in range(first, first + 3):
        tally = Tally(duration_s=1.0, requests=1000)
        tally.latencies.add(0.2 * (start_s + np.linspace(0, 1, 1000)) * random.lognormal(0.0, scatter, 1000))
        made.append(tally)
    return made


def test_windows_late_in_an_overload_agree_and_yet_their_latency_grows() -> None:
    assert "latency" in disagreement(overloaded(3), 0.1)
    for first in (10, 100):
        assert disagreement(overloaded(first), 0.1) == ""
        said = growth(overloaded(first), since_s=first)
        assert said == "latency grows by 0.2 s in a second: more requests are due than are answered"


def test_latencies_that_stay_where_they_are_do_not_grow() -> None:
    assert growth(windows(1000, 1000, 1000), since_s=10) == ""
    assert growth(windows(1000, 1000, 1000, scatter=0.5), since_s=10) == ""
    assert growth(windows(1000, 1000, 1000, grow=0.9), since_s=10) == ""
    # by as much as can be told only from what has lasted long
    assert growth(windows(1000, 1000, 1000, grow=1.05), since_s=1) == ""


def test_few_requests_differ_by_chance() -> None:
    assert growth(windows(10, 10, 10, scatter=1.0, grow=1.05), since_s=100) == ""
