"""Stacked parts, histograms and maps show what records hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("mplhep")

from msgspec.structs import replace

from sonic.errors import DataError
from sonic.study.plots.shares import breakdown, heat_map, histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from sonic.study.records import Record


def test_parts_are_stacked_to_the_mean_latency(make: Callable[..., Record]) -> None:
    records = [make(100.0, queue_s=0.001 * n, settings={"clients": n}) for n in (4, 1, 2)]
    (axes,) = breakdown(records, "clients", title="t").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4"]
    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]  # type: ignore[attr-defined]
    by_clients = sorted(records, key=lambda record: int(record.settings["clients"]))
    np.testing.assert_allclose(tops, [1e3 * record.latencies.mean_s for record in by_clients])  # type: ignore[union-attr]
    names = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert names == ["queue", "input", "infer", "output", "transfer"]


def test_words_are_places_too(make: Callable[..., Record]) -> None:
    (axes,) = breakdown([make(1.0, settings={"protocol": each}) for each in ("http", "grpc")], "protocol").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["http", "grpc"]


def test_without_a_server_that_counts_there_are_no_parts(make: Callable[..., Record]) -> None:
    with pytest.raises(DataError, match="nothing to break down"):
        breakdown([make(1.0, windows=())], "clients")


def test_a_histogram_holds_all_requests(make: Callable[..., Record]) -> None:
    latencies = make(1.0).latencies
    assert latencies is not None
    (axes,) = histogram({"a": latencies, "b": latencies}).axes
    for stairs in axes.patches[:2]:
        heights, edges, _ = stairs.get_data()  # type: ignore[attr-defined]
        assert heights.sum() == pytest.approx(1)
        assert edges[0] <= 1e3 * latencies.least_s < 1e3 * latencies.most_s <= edges[-1] * 1.001
    one_bin = replace(latencies, edges_s=latencies.edges_s[:2], counts=latencies.counts[:1])
    assert histogram({"a": one_bin}).axes
    with pytest.raises(DataError, match="1 to 10 histograms of latencies can be drawn, given 0"):
        histogram({})


def test_a_map_has_a_place_for_each_pair_and_leaves_what_is_missing_empty(make: Callable[..., Record]) -> None:
    records = [make(10.0 * n * b, settings={"clients": n, "batch": b}) for n in (1, 2, 4) for b in (8, 16)]
    axes, _ = heat_map(records[:-1], "clients", "batch", "throughput").axes
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(shown[0], [80, 160, 320])
    assert np.isnan(shown[1, 2])
    assert sorted(text.get_text() for text in axes.texts) == ["160", "160", "320", "320", "80"]
    many = [make(1.0 * n, settings={"clients": n, "batch": b}) for n in range(1, 31) for b in (1, 2)]
    axes, _ = heat_map(many, "clients", "batch", "throughput").axes
    assert not axes.texts
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(n) for n in range(1, 31, 3)]
    with pytest.raises(DataError, match="two records at clients = 1, batch = 8"):
        heat_map([records[0], records[0]], "clients", "batch", "throughput")
    with pytest.raises(DataError, match="no record has clients, delay_us and throughput"):
        heat_map(records, "clients", "delay_us", "throughput")
