"""What records are good for is drawn, and what is not is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("mplhep")
pytest.importorskip("scipy")

from sonic.errors import DataError
from sonic.study.plots.album import album, picture, scans
from sonic.study.published import study

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.records import Record


def scan(make: Callable[..., Record], **axes: tuple[object, ...]) -> list[Record]:
    """Make a grid over `axes` and 1 to 8 clients."""
    grid: list[dict[str, object]] = [{"clients": n} for n in (1, 2, 4, 8)]
    for name, values in axes.items():
        grid = [{**point, name: each} for point in grid for each in values]
    return [make(100.0 * min(4, int(str(point["clients"]))), settings=point) for point in grid]


def test_a_scan_over_clients_and_a_switch(make: Callable[..., Record]) -> None:
    records = scan(make, batching=(False, True))
    bad = make(1.0, status="failed", settings={"clients": 64})
    pictures, left_out = album([*records, bad])
    assert [each.name for each in pictures] == [
        "facile-throughput-clients",
        "facile-batch-rows-clients",
        "facile-server-cpu-us-clients",
        "facile-latency-clients",
        "facile-ratio-batching-clients",
        "facile-breakdown-clients",
        "facile-histogram",
    ]
    assert left_out == []
    assert "batching on: plateau 400/s, 95 % of it at 3.8" in pictures[0].caption
    assert pictures[4].figure.axes[0].get_title() == "facile: batching on over batching off"


def test_two_numbers_make_a_map_and_each_is_an_axis(make: Callable[..., Record]) -> None:
    names = [each.name for each in album(scan(make, round_trip_ms=(0.0, 10.0)))[0]]
    assert "facile-throughput-round-trip-ms" in names
    assert "facile-rows-10-map-clients-round-trip-ms" in names


def test_a_map_has_points_with_both_of_its_numbers(make: Callable[..., Record]) -> None:
    delays = [make(9.0, settings={"clients": n, "delay_us": d}) for n in (1, 2) for d in (0, 100)]
    trips = [
        make(9.0, settings={"clients": n, "round_trip_ms": t}, details={"delay_us": 100.0})
        for n in (1, 2)
        for t in (0, 5)
    ]
    maps = [each.name for each in album([*trips, *delays])[0] if "-map-" in each.name]
    assert [name.partition("-map-")[2] for name in maps] == ["clients-round-trip-ms", "clients-delay-us"]


def test_no_picture_has_the_name_of_another(make: Callable[..., Record]) -> None:
    targets = ("tagger-v2", "tagger_v2", "μ-ä", "μ-ö")
    names = [each.name for each in album([make(1.0, target=target) for target in targets])[0]]
    assert names[1::2] == ["tagger-v2-histogram", "tagger-v2-histogram-2", "μ-ä-histogram", "μ-ö-histogram"]
    assert len(set(names)) == len(names)


def test_titles_say_what_all_points_have_and_stay_within_the_picture(make: Callable[..., Record]) -> None:
    held = {"backend": "onnxruntime", "kind": "cpu", "batching": True, "instances": 2, "batch": 200, "delay_us": 100}
    pictures, _ = album([make(9.0, settings={"clients": n, **held}) for n in (1, 2)])
    (spread,) = [each for each in pictures if each.name == "facile-histogram"]
    title = spread.figure.axes[0].get_title()
    said = "facile, rows 10, onnxruntime, cpu, batching on, instances 2, batch 200, delay 100 us"
    assert title.replace("\n", " ") == said
    spread.figure.draw_without_rendering()
    box = spread.figure.axes[0].title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= spread.figure.bbox.width


def test_a_point_alone_has_parts_and_a_histogram(make: Callable[..., Record]) -> None:
    assert [each.name for each in album([make(1.0)])[0]] == ["facile-breakdown-clients", "facile-histogram"]


def test_why_there_is_no_picture_is_said(make: Callable[..., Record]) -> None:
    pictures, (why,) = album([make(1.0, latencies=None, windows=())])
    assert pictures == []
    assert why == "the points differ in no number, and have neither latencies nor what a server counted"
    assert album([make(1.0, status="failed")]) == ([], ["none of 1 records was measured to its end"])


def test_what_has_too_many_series_is_said(make: Callable[..., Record]) -> None:
    pictures, left_out = album(scan(make, batch=tuple(range(1, 26))))
    assert "facile: 25 series of throughput cannot be told apart, 24 can: choose some of them" in left_out
    assert "facile-throughput-batch" in [each.name for each in pictures]  # four clients can


def test_jobs_have_their_modules_and_published_points(make: Callable[..., Record]) -> None:
    protodune = study("protodune")
    jobs = [make(1.0 * n, settings={"clients": n}, details={"module_s.hits": 2.0}) for n in (1, 2)]
    by_name = {each.name: each for each in album(jobs, protodune)[0]}
    legend = by_name["facile-modules-clients"].figure.axes[0].get_legend()
    assert "4 GPUs, batching on (arXiv:2009.04509)" in [text.get_text() for text in legend.get_texts()]
    assert scans(study("miniaod-ak4"), "clients", "rate_per_client").keys() == {"AK4 (arXiv:2402.15366)"}
    assert scans(protodune, "clients", "throughput") == scans(None, "clients", "throughput") == {}
    simulated = [make(1.0, settings={"jobs": n}, details={"module_s": 1.0 * n}) for n in (1, 2)]
    assert "facile-module-s-jobs" in [each.name for each in album(simulated, protodune)[0]]


def test_modules_that_are_left_out_are_counted(make: Callable[..., Record]) -> None:
    details = {f"module_s.m{n}": 1.0 + n for n in range(30)}
    found = {
        each.name: each for each in album([make(1.0, settings={"clients": n}, details=details) for n in (1, 2)])[0]
    }
    assert found["facile-modules-clients"].caption.endswith("; of 30 modules the 24 that take longest")


def test_one_picture_of_ones_choice(make: Callable[..., Record]) -> None:
    found = picture(scan(make, protocol=("grpc", "http")), "clients", "queue_ms", ["protocol"])
    assert found.figure.axes[0].get_ylabel() == "queue, mean (ms)"
    with pytest.raises(DataError, match="no record has a number for 'temperature'"):
        picture([make(1.0)], "clients", "temperature")
