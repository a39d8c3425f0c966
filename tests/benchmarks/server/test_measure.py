from __future__ import annotations

import pytest

from benchmarks.server.h2load import Load
from benchmarks.server.measure import Point, Sample, check
from benchmarks.server.wire import WrongAnswerError

ANSWER_BYTES = 100


def test_answers_of_the_right_size_pass_with_those_that_time_cut_off() -> None:
    check(Load(10, 0, 1000, 1.0), ANSWER_BYTES, clients=4)
    check(Load(10, 0, 1390, 1.0), ANSWER_BYTES, clients=4)


@pytest.mark.parametrize(
    ("load", "what"),
    [
        (Load(10, 1, 1000, 1.0), "1 of 10 requests failed"),
        (Load(0, 0, 0, 1.0), "no answer within 1 s"),
        (Load(10, 0, 900, 1.0), "some are errors"),
        (Load(10, 0, 1500, 1.0), "some are errors"),
    ],
)
def test_errors_under_load_are_found(load: Load, what: str) -> None:
    with pytest.raises(WrongAnswerError, match=what):
        check(load, ANSWER_BYTES, clients=4)


def test_a_point_is_the_median_of_its_repeats() -> None:
    point = Point("sonic", "dense16", "grpc", 1, (Sample(10, 3), Sample(30, 1), Sample(20, 2)))
    assert point.per_s == 20


def test_a_sample_knows_how_much_of_its_core_the_server_used() -> None:
    assert Sample(per_s=500, cpu_ms=1.5).cores == pytest.approx(0.75)
