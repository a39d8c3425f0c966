from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.study.published import PUBLISHED, study


def test_a_study_and_a_scan_are_found_by_name() -> None:
    assert study("protodune").inputs["cpu_s"] == 330
    assert study("miniaod-ak4").curve("AK4").points[0] == (60, 3.96)


@pytest.mark.parametrize("name", PUBLISHED)
def test_scans_go_up_and_are_told_apart(name: str) -> None:
    curves = PUBLISHED[name].curves
    assert len({each.name for each in curves}) == len(curves)
    for each in curves:
        xs = [x for x, _ in each.points]
        assert xs == sorted(set(xs))
        assert all(y > 0 for _, y in each.points)


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"nothing .*'dune'.*protodune, miniaod-ak4"):
        study("dune")
    with pytest.raises(ConfigError, match=r"no scan '5 GPUs' in arXiv:2009\.04509: it has 4 GPUs, batching on"):
        study("protodune").curve("5 GPUs")
