"""Tables, and what is said of fits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("iminuit")

from sonic.study import saturation, tables
from sonic.study.models.base import Points, Value
from sonic.study.models.fit import fit, ranked
from sonic.study.models.simple import amdahl, bounds, scalability
from sonic.study.records import Estimate
from sonic.study.tables import finite, fitted, measured, parameters, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.records import Record

CLIENTS = np.array([1.0, 2, 4, 8, 16, 32])
RATE = np.minimum(CLIENTS, 10.0) * 50


def test_points_have_their_settings_figures_and_status(make: Callable[..., Record]) -> None:
    (heads, rows), shared = measured([make(100.0), make(200.0, status="unstable", settings={"clients": 2})])
    assert shared == {"rows": "10"}
    assert heads[:3] == ["clients", "requests/s", "rows/s"]
    assert measured([make(100.0, settings={"threads": 4})])[0][0][:2] == ["chunks/s", "events/s"]
    assert rows[0][:3] == ["1", "100.0 +- 4.0", "1,000"]
    assert rows[1][0] == "2"
    assert rows[1][-1] == "unstable"
    assert measured([make(1354.0, throughput=Estimate(1354.0, 1164.0, 1544.0))])[0][1][0][0] == "1,354 +- 190"
    (heads, rows), _ = measured([make(1.0), make(1.0, target="tagger")])
    assert [heads[0], rows[1][0]] == ["target", "tagger"]


def test_numbers_have_the_digits_that_their_errors_leave() -> None:
    assert finite(Value(12.3456, 0.0234)) == "12.346 +- 0.023"
    assert finite(Value(1234.5, 67.8)) == "1,234 +- 68"
    assert finite(Value(np.inf, np.nan)) == "none"
    assert finite(Value(3.0, np.nan)) == "3"
    assert finite(Value(3.0, 1e9)) == finite(Value(np.nan, np.nan)) == "any"
    assert finite(Value(3.0, np.nan, at_least=2.5)) == ">= 2.5"
    assert finite(Value(3.0, np.nan, at_most=2000.4)) == "<= 2,000"


def test_parameters_have_units() -> None:
    rows = parameters([fit(bounds(), Points(CLIENTS, RATE, 0.01 * RATE))])[1]
    assert [row[0] for row in rows] == ["protodune", ""]
    assert re.fullmatch(r"ideal 20\.\d+ \+- 0\.\d+ ms", rows[0][1])
    rows = parameters([fit(amdahl(), Points(CLIENTS, RATE, 0.01 * RATE))])[1]
    assert rows[0][1].endswith(" /s")


def test_the_verdict_is_honest() -> None:
    at = saturation.measured(CLIENTS, RATE)
    known, unknown = Points(CLIENTS, RATE, 0.01 * RATE), Points(CLIENTS, RATE * (1 + 0.01 * np.cos(CLIENTS)))
    said = verdict([fit(bounds(), known), fit(amdahl(), known)], at)
    assert said[0].startswith("protodune fits best: clients are as fast as if alone")
    assert said[1].startswith("plateau: 500/s by the points, 500.")
    assert said[2].startswith("95 % of it: at 13.2 clients by the points, 9.5")
    assert len(said) == 3
    assert "none describes the points within their errors" in verdict([fit(amdahl(), known)], at)[1]
    assert verdict([fit(amdahl(), known), fit(bounds(), known)], at)[1].startswith(
        "it does not describe the points within their errors, as protodune does: chi2/ndf "
    )
    assert "the points have no errors" in verdict([fit(bounds(), unknown)], at)[1]
    rising = saturation.measured(CLIENTS[:3], RATE[:3])
    assert verdict([fit(bounds(), known)], rising)[2].startswith("95 % of it: not reached by the points, 9.5")
    few = Points(CLIENTS[:4], RATE[:4], 0.01 * RATE[:4])
    assert verdict([], rising) == [
        "not fitted",
        "plateau: none by the points, the last of which has 200/s",
        "95 % of it: not reached by the points",
    ]
    full = saturation.measured(8 * CLIENTS, 0 * CLIENTS + 500)
    assert verdict([], full)[1:] == ["plateau: 500/s by the points", "95 % of it: at 8 or fewer clients by the points"]
    assert "4 points are too few to tell models apart" in verdict([fit(scalability(), few)], at)[0]


def test_what_the_points_only_bound_is_no_prediction() -> None:
    line = Points(CLIENTS, 50 * CLIENTS, 0.5 * CLIENTS)
    bounded, best = fit(bounds(), line), fit(amdahl(), line)
    assert parameters([bounded])[1][1][1].startswith("service <= 63")
    assert parameters([bounded])[1][1][1].endswith(" us, not determined")
    assert fitted([bounded])[1][0][4].startswith(">= 29.")
    at = saturation.measured(CLIENTS, 50 * CLIENTS)
    said = verdict(ranked([bounded, best]), at)
    assert said[0] == f"amdahl fits best: {amdahl().text}"
    assert re.fullmatch(r"the points only bound protodune: capacity >= 1,5\d\d/s, saturation >= 29\.\d+", said[-1])
    said = verdict([bounded], at)
    assert not any("fits best" in each for each in said)
    assert said[-1].startswith("the points only bound protodune: capacity >= ")
    flat = fit(bounds(), Points(8 * CLIENTS, 0 * CLIENTS + 500, 0 * CLIENTS + 2))
    assert re.fullmatch(r"ideal <= 16\.\d+ ms, saturation <= 7\.\d+", tables.bounds(flat))


def test_a_row_for_each_fit_says_where_it_fails_most() -> None:
    known = Points(CLIENTS, RATE, 0.01 * RATE)
    heads, rows = fitted([fit(bounds(), known), fit(amdahl(), known)])
    assert heads == ["model", "chi2/ndf", "AICc", "off", "saturation", "knee", "worst"]
    assert rows[1][-1].split(" at ")[1] in {"1", "2", "4", "8", "16", "32"}
    assert rows[1][-1][0] in "+-"
