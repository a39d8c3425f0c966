from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from sonic.study.histogram import Histogram
from sonic.study.load.stable import estimate
from sonic.study.models.fit import points
from sonic.study.records import Estimate, Record
from sonic.study.scan.rounds import is_whole, joined, rounds_of
from sonic.study.series import series

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.records import Latencies

    Make = Callable[..., Record]


def _of(latencies_s: list[float]) -> Latencies | None:
    histogram = Histogram()
    histogram.add(latencies_s)
    return histogram.latencies()


def test_a_point_has_the_mean_of_its_rounds_and_an_interval_over_them(make: Make) -> None:
    first, second, third = make(90.0, part=0.001), make(100.0, part=0.001), make(110.0, part=0.001)
    whole = joined(joined(first, second), third)
    assert whole.throughput == estimate([90.0, 100.0, 110.0])
    assert whole.row_rate == estimate([900.0, 1000.0, 1100.0])
    assert [each.throughput for each in whole.rounds] == [first.throughput, second.throughput, third.throughput]
    assert whole.windows == first.windows + second.windows + third.windows
    assert whole.repeats == 3  # which a fit has errors of, and not nine windows
    assert (whole.status, whole.reason) == ("measured", "")


def test_the_error_of_a_fit_is_that_of_the_rounds(make: Make) -> None:
    values = [90.0, 100.0, 110.0, 100.0]
    record = make(values[0])
    for value in values[1:]:
        record = joined(record, make(value))
    (one,) = series([record, replace(record, settings=record.settings | {"clients": 2})], "clients", "throughput")
    error = points(one).error
    assert error is not None
    np.testing.assert_allclose(error, np.std(values, ddof=1) / 2)


def test_latencies_of_rounds_are_those_of_one_histogram(make: Make) -> None:
    parts = [[0.001, 0.002], [0.0002, 0.5]]
    first, second = (make(100.0, latencies=_of(part)) for part in parts)
    both, expected = joined(first, second).latencies, _of(parts[0] + parts[1])
    assert both is not None
    assert expected is not None
    assert (both.counts, both.edges_s, both.count) == (expected.counts, expected.edges_s, 4)
    assert (both.least_s, both.most_s) == (expected.least_s, expected.most_s)
    assert both.mean_s == pytest.approx(expected.mean_s)


def test_details_are_means_over_the_rounds(make: Make) -> None:
    one, two, three = (make(100.0, details={"cpu_s": float(n), "instances": 4.0}) for n in (1, 2, 6))
    assert joined(joined(one, two), three).details == pytest.approx({"cpu_s": 3.0, "instances": 4.0})


def test_figures_of_an_unstable_round_do_not_count_beside_stable_ones(make: Make) -> None:
    unstable = make(10.0, status="unstable", reason="latency grows")
    first = joined(unstable, make(100.0))
    assert (first.status, first.throughput, len(first.windows)) == ("unstable", make(100.0).throughput, 3)
    whole = joined(first, make(102.0))
    assert (whole.status, whole.throughput) == ("measured", estimate([100.0, 102.0]))
    assert whole.reason == "round 1: unstable, latency grows"
    assert (len(whole.windows), whole.repeats) == (6, 2)
    assert joined(whole, unstable).throughput == whole.throughput


def test_a_point_that_is_never_stable_is_unstable(make: Make) -> None:
    whole = joined(*(make(rate, status="unstable", reason="no") for rate in (10.0, 20.0)))
    assert (whole.status, whole.reason) == ("unstable", "round 1: unstable, no; round 2: unstable, no")
    assert whole.throughput is not None
    assert whole.throughput.value == 15.0  # there, and not to be trusted


def test_a_round_in_which_requests_failed_is_named(make: Make) -> None:
    whole = joined(make(10.0), make(10.0, reason="3 of 9 requests failed, the first: full"))
    assert (whole.status, whole.reason) == ("measured", "round 2: 3 of 9 requests failed, the first: full")


def test_a_round_of_another_version_stands_alone(make: Make) -> None:
    latest = make(100.0, versions={"sonic": "1.0", "server": "2"})
    assert joined(make(50.0, versions={"sonic": "1.0", "server": "1"}), latest) == latest
    assert len(joined(make(50.0), latest).rounds) == 2


def test_a_failed_first_round_has_no_figures(make: Make) -> None:
    failed = make(1.0, status="failed", reason="it died", throughput=None, row_rate=None, windows=(), latencies=None)
    whole = joined(failed, replace(failed, reason="it died again"))
    assert (whole.status, whole.throughput, whole.latencies) == ("failed", None, None)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        (["measured"], False),
        (["measured"] * 4, True),
        (["measured"] * 5, True),
        (["measured", "failed"], True),
        (["unstable"], False),
        (["unstable", "measured", "unstable"], True),
    ],
)
def test_whether_a_point_needs_a_further_round(make: Make, statuses: list[str], whole: bool) -> None:
    record = make(1.0, status=statuses[0])
    for status in statuses[1:]:
        record = joined(record, make(1.0, status=status))
    assert is_whole(record, 4) == whole
    assert is_whole(record, 1)


def test_a_record_from_before_there_were_rounds_is_one(make: Make) -> None:
    old = msgspec.to_builtins(make(100.0))
    del old["rounds"]
    (only,) = rounds_of(msgspec.json.decode(msgspec.json.encode(old), type=Record))
    assert only.throughput == Estimate(100.0, 96.0, 104.0)
