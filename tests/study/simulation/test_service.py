from __future__ import annotations

from math import log
from random import Random
from statistics import fmean, stdev

import pytest

from sonic.errors import ConfigError
from sonic.study.simulation.service import Service


def test_an_execution_and_its_rows() -> None:
    service = Service(execution_s=1e-3, row_s=1e-4)
    assert service.mean_s(10) == pytest.approx(2e-3)
    assert service.draw_s(10, Random(1)) == service.mean_s(10)


def test_a_table_is_followed_by_straight_lines() -> None:
    service = Service(table={"1": 1.0, "4": 4.0, "8": 6.0})
    assert [service.mean_s(rows) for rows in (1, 2, 4, 6, 8, 12)] == pytest.approx([1, 2, 4, 5, 6, 8])
    assert Service(table={"4": 2.0}).mean_s(100) == 2.0
    assert Service(table={"4": 2.0, "8": 3.0}).mean_s(1) == 2.0


@pytest.mark.parametrize("service", [Service(row_s=2.0, scatter=0.3), Service(row_s=2.0, distribution="exponential")])
def test_scatter_keeps_the_mean(service: Service) -> None:
    random = Random(3)
    drawn = [service.draw_s(1, random) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(2.0, rel=0.03)
    if service.scatter:
        assert stdev(map(log, drawn)) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "one of the two"),
        ({"row_s": 1.0, "table": {"1": 1.0}}, "one of the two"),
        ({"execution_s": -1.0}, "at least 0"),
        ({"table": {"0": 1.0}}, r"given '0' = 1"),
        ({"table": {"x": 1.0}}, "given 'x'"),
        ({"table": {"1": 2.0, "8": 1.0}}, "falls at 8 rows, from 2 to 1 s"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Service(**given)
