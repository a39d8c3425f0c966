"""What of records becomes points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from sonic.errors import DataError
from sonic.study.records import Estimate
from sonic.study.series import label, parts_s, series, server_window, telling, together, usable, value, varying, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.records import Record


def test_series_are_told_apart_by_what_varies_and_go_up(make: Callable[..., Record]) -> None:
    records = [
        make(100.0 * n, settings={"clients": n, "protocol": protocol})
        for n in (4, 1, 2)
        for protocol in ("grpc", "http")
    ]
    grpc, http = series(records, "clients", "throughput")
    assert (grpc.label, http.label) == ("grpc", "http")
    np.testing.assert_array_equal(grpc.x, [1, 2, 4])
    np.testing.assert_array_equal(grpc.y, [100, 200, 400])
    np.testing.assert_allclose(grpc.high, [104, 208, 416])
    assert [each.settings["clients"] for each in http.records] == [1, 2, 4]


def test_series_stand_in_the_order_of_their_numbers(make: Callable[..., Record]) -> None:
    made = [
        make(1.0, settings={"clients": 1, "rows": rows, "protocol": protocol})
        for rows, protocol in ((100, "http"), (10, "http"), (10, "grpc"), (100, "grpc"))
    ]
    drawn = series(made, "clients", "throughput")
    assert [each.label for each in drawn] == ["rows 10, http", "rows 10, grpc", "rows 100, http", "rows 100, grpc"]


def test_the_target_tells_apart_and_is_named_only_where_it_must_be(make: Callable[..., Record]) -> None:
    (alone,) = series([make(1.0)], "clients", "throughput")
    assert alone.label == "facile"
    both = series([make(1.0), make(2.0, target="tagger", settings={"batch": 8})], "clients", "throughput")
    assert [each.label for each in both] == ["facile", "tagger, batch 8"]


def test_what_is_not_measured_is_left_out_and_said(make: Callable[..., Record]) -> None:
    good = make(1.0)
    bad = [
        make(2.0, status="unstable", reason="windows differ", settings={"clients": 2}),
        make(2.0, status="failed", throughput=None, settings={"clients": 4}),
    ]
    kept, said = usable([good, *bad])
    assert kept == [good]
    assert said == ["facile clients=2 rows=10: unstable, windows differ", "facile clients=4 rows=10: failed"]
    (points,) = series([good, *bad], "clients", "throughput")
    np.testing.assert_array_equal(points.x, [1])


def test_files_are_told_apart_where_they_hold_the_same_point(make: Callable[..., Record]) -> None:
    one, two = make(1.0), make(2.0, settings={"clients": 2})
    assert together({"old": [one], "new": [two]}) == [one, two]
    assert together({}) == []
    both = series(together({"old": [one, two], "new": [make(3.0)]}), "clients", "throughput")
    assert [each.label for each in both] == ["old", "new"]


def test_of_a_point_measured_twice_the_last_counts(make: Callable[..., Record]) -> None:
    later = make(2.0, started="2026-01-02T00:00:00Z")
    for order in ([make(1.0), later], [later, make(1.0)]):
        (points,) = series(order, "clients", "throughput")
        np.testing.assert_array_equal(points.y, [2])


def test_details_and_figures_of_the_server_are_quantities_too(make: Callable[..., Record]) -> None:
    record = make(100.0, batch=4, details={"module.hits": 3.0}, settings={"compression": True})
    assert value(record, "module.hits") == Estimate(3.0)
    assert value(record, "batch_rows") == Estimate(40.0)
    assert value(record, "rate_per_client") == Estimate(1000.0)
    four = replace(record, settings={"clients": 4}, row_rate=Estimate(1000.0, 960.0, 1040.0))
    assert value(four, "rate_per_client") == Estimate(250.0, 240.0, 260.0)
    for name, expected in {"queue_ms": 4, "client_cpu_us": 1000, "server_cpu_us": 8000}.items():
        found = value(record, name)
        assert found is not None
        assert found.value == pytest.approx(expected)
    assert value(record, "compression") is None
    assert value(record, "gpu_use") is None
    assert label("round_trip_ms") == "round trip (ms)"
    assert label("some_thing") == "some thing"


def test_of_settings_that_go_hand_in_hand_one_is_told(make: Callable[..., Record]) -> None:
    zipped = [
        make(1.0 * n, settings={"clients": n, "batching": on, "delay_us": 100 * on, "batch": 8 * n})
        for n in (1, 2, 3)
        for on in (False, True)
    ]
    assert varying(zipped) == ["clients", "batching", "delay_us", "batch"]
    assert telling(zipped) == ["clients", "batching"]
    assert telling(zipped, "batch") == ["batching"]
    assert [each.label for each in series(zipped, "clients", "throughput")] == ["batching off", "batching on"]
    # Of words one wants to know nevertheless.
    two = [make(1.0, settings={"protocol": "grpc"}), make(2.0, settings={"clients": 2, "protocol": "http"})]
    assert telling(two, "clients") == ["protocol"]


def test_a_setting_is_told_with_its_unit(make: Callable[..., Record]) -> None:
    told = {"round_trip_ms": 1.0, "bandwidth_mbps": 100, "protocol": "grpc", "batching": False, "rows": 8, "x": None}
    said = ["round trip 1 ms", "bandwidth 100 Mbit/s", "grpc", "batching off", "rows 8", ""]
    assert [word(*each) for each in told.items()] == said


def test_what_is_counted_is_said(make: Callable[..., Record]) -> None:
    requests, jobs = make(1.0), make(1.0, settings={"threads": 4})
    assert [label(name, [requests]) for name in ("throughput", "row_rate")] == ["throughput (requests/s)", "rows (1/s)"]
    assert [label(name, [jobs]) for name in ("throughput", "row_rate")] == ["throughput (chunks/s)", "events (1/s)"]
    assert label("row_rate", [requests, jobs]) == "rows or events (1/s)"
    assert label("rate_per_client", [requests]) == "rows of each client (1/s)"
    assert label("rate_per_client", [replace(jobs, settings={"threads": 4, "jobs": 2})]) == "events of each job (1/s)"


def test_no_limit_of_the_bandwidth_is_no_number(make: Callable[..., Record]) -> None:
    records = [make(1.0 * n, settings={"bandwidth_mbps": 100.0 * n}) for n in (0, 1, 2)]
    (of,) = series(records, "bandwidth_mbps", "throughput")
    np.testing.assert_array_equal(of.x, [100, 200])
    assert series(records, "clients", "throughput")[0].label == "any bandwidth"


def test_parts_add_up_to_the_latency(make: Callable[..., Record]) -> None:
    record = make(100.0)
    parts = parts_s(record)
    assert parts is not None
    assert sum(parts.values()) == pytest.approx(record.latencies.mean_s)  # type: ignore[union-attr]
    assert parts_s(replace(record, windows=())) is None


def test_windows_of_the_server_are_weighted_by_their_requests(make: Callable[..., Record]) -> None:
    few, many = make(100.0, queue_s=0.001).windows[0], make(300.0, queue_s=0.005).windows[0]
    both = server_window(replace(make(1.0), windows=(few, many, replace(few, server=None))))
    assert both is not None
    assert (both.requests, both.executions, both.cpu_s, both.duration_s) == (400, 200, 1.6, 2.0)
    assert both.queue_s == pytest.approx(0.004)


def test_what_cannot_be_drawn_is_refused_by_name(make: Callable[..., Record]) -> None:
    with pytest.raises(DataError, match="none of 1 records was measured"):
        series([make(1.0, status="failed")], "clients", "throughput")
    with pytest.raises(DataError, match="no record has a number for 'round_trip_ms': they have clients, rows"):
        series([make(1.0)], "round_trip_ms", "throughput")
    with pytest.raises(DataError, match="no record has a setting 'protocoll' to tell series apart: they have clients"):
        series([make(1.0)], "clients", "throughput", by=["rows", "protocoll"])
    both = [make(1.0, settings={"protocol": "grpc"}), make(2.0, settings={"protocol": "http"})]
    with pytest.raises(DataError, match="points at clients = 1 differ in protocol: tell them apart by that"):
        series(both, "clients", "throughput", by=["rows"])
