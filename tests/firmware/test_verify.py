from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.firmware.verify import to_markdown, verify

if TYPE_CHECKING:
    from sonic.firmware.build import Firmware


def test_all_agree(built: Firmware) -> None:
    pytest.importorskip("da4ml")
    given = np.random.default_rng(1).normal(size=(30, 6))
    seen: list[tuple[str, int, int]] = []
    report = verify(built, given, random_rows=40, progress=lambda *what: seen.append(what))
    assert report.exact
    sets = ("given", "random", "out of range", "golden")
    expected = {(name, rows) for name in ("hls4ml-quartus", "da4ml") for rows in sets} | {("reference", "golden")}
    assert {(each.emulator, each.rows) for each in report.comparisons} == expected
    assert [each.compared for each in report.comparisons][:3] == [128, 60, 60]
    assert 0 < report.float_median <= report.float_95 <= report.float_largest
    assert report.outside == 0
    assert ("da4ml, out of range", 40, 40) in seen
    text = to_markdown(report, built.versions, built.cost)
    assert "**yes**" in text
    assert report.to_dict()["exact"] is True


def test_a_bit_that_differs_is_seen(built: Firmware) -> None:
    layers = list(built.network.layers)
    last = layers[-1]
    layers[-1] = replace(last, bias=last.bias + 2.0**-8)  # type: ignore[attr-defined, call-arg]
    other = replace(built, network=replace(built.network, layers=tuple(layers)))
    report = verify(other, random_rows=20)
    assert not report.exact
    wrong = [each for each in report.comparisons if each.different]
    assert {each.emulator for each in wrong} == {"hls4ml-quartus", "reference"}
    assert all(each.largest > 0 for each in wrong)
    assert "**no**" in to_markdown(report, {}, {})
