from __future__ import annotations

import json
from math import inf, isnan

import pytest

from benchmarks.soak.probes import RIGHT, WRONG
from benchmarks.soak.tally import Durations, Tally


def test_counts_by_kind_way_and_outcome() -> None:
    tally = Tally()
    for outcome in (RIGHT, RIGHT, "Unavailable"):
        tally.add("small", "gRPC", outcome, duration_s=0.01)
    tally.add("small", "HTTP", WRONG, "it got another's answer", duration_s=0.01)
    assert (tally.total, tally.wrong) == (4, 1)
    assert tally.outcomes() == {("small", "gRPC"): {RIGHT: 2, "Unavailable": 1}, ("small", "HTTP"): {WRONG: 1}}
    assert tally.texts == ["HTTP: it got another's answer"]


def test_what_no_answer_came_to_has_no_duration() -> None:
    tally = Tally()
    tally.add("given up", "gRPC", "cancelled", duration_s=inf)
    assert tally.durations == {}


def test_kinds_that_never_ended_so() -> None:
    tally = Tally()
    tally.add("slow", "gRPC", RIGHT)
    tally.add("slow", "HTTP", "DeadlineExceeded")
    tally.add("gone", "HTTP", "Unavailable")
    assert tally.never(RIGHT, ("slow", "gone", "unasked")) == ["gone", "unasked"]


def test_two_are_added_up_over_json() -> None:
    one, other = Tally(), Tally()
    for tally, duration_s in ((one, 0.001), (other, 0.1), (other, 0.1)):
        tally.add("small", "gRPC", RIGHT, duration_s=duration_s)
    other.add("large", "HTTP", WRONG, "lost")
    one.merge(Tally.from_document(json.loads(json.dumps(other.to_document()))))
    assert (one.total, one.wrong, one.texts) == (4, 1, ["HTTP: lost"])
    assert one.durations["small", "gRPC"].quantile_s(0.3) == pytest.approx(0.001, rel=0.07)
    assert one.durations["small", "gRPC"].quantile_s(0.5) == pytest.approx(0.1, rel=0.07)


def test_only_some_texts_are_kept() -> None:
    tally = Tally()
    for number in range(100):
        tally.add("small", "gRPC", WRONG, f"{number}" * 1000)
    assert (tally.wrong, len(tally.texts), len(tally.texts[0])) == (100, 20, 1000)


def test_quantiles() -> None:
    durations = Durations()
    assert isnan(durations.quantile_s(0.5))
    for milliseconds in range(1, 101):
        durations.add(milliseconds / 1000)
    durations.add(0.0)
    assert durations.quantile_s(0.5) == pytest.approx(0.05, rel=0.07)
    assert durations.quantile_s(1.0) == pytest.approx(0.1, rel=0.07)
