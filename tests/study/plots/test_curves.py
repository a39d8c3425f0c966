"""Lines, by what is on the axes: labels, scales, points, marks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

pytest.importorskip("mplhep")

from sonic.errors import DataError
from sonic.study.models.compare import compare
from sonic.study.plots.album import picture
from sonic.study.plots.curves import fits, latency, lines, modules, ratios
from sonic.study.saturation import Saturation
from sonic.study.series import series

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from sonic.study.records import Record

CLIENTS = (1, 2, 4, 8, 16)


@pytest.fixture
def scan(make: Callable[..., Record]) -> list[Record]:
    made = []
    for protocol, most in (("grpc", 900.0), ("http", 600.0)):
        for n in CLIENTS:
            rate = min(100.0 * n, most)
            made.append(make(rate, queue_s=n / rate, settings={"clients": n, "protocol": protocol}))
    return made


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_throughput_has_its_series_bars_marks_and_what_others_have(scan: list[Record]) -> None:
    drawn = series(scan, "clients", "throughput")
    marks = [Saturation(900, 9.0, 8.5, 9.5, 9.0), None]
    beside = {"theirs": (np.array([1.0, 32.0]), np.array([50.0, 700.0]))}
    (axes,) = lines(drawn, "clients", "throughput", saturations=marks, beside=beside, title="t").axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("clients", "throughput (requests/s)", "t")
    assert sorted(legend(axes)) == ["grpc", "http", "theirs"]
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[0] == 0
    assert [bars.lines[0].get_ydata().tolist() for bars in axes.containers] == [  # type: ignore[attr-defined]
        [min(100.0 * n, most) for n in CLIENTS] for most in (900, 600)
    ]
    assert axes.lines[-2].get_xdata() == [9.0, 9.0]  # the mark
    assert len(axes.patches) == 1  # and its band


def test_there_is_room_above_what_is_all_of_one_height(make: Callable[..., Record]) -> None:
    flat = series([make(500.0, settings={"clients": n}) for n in CLIENTS], "clients", "throughput")
    (axes,) = lines(flat, "clients", "throughput").axes
    assert axes.get_ylim() == pytest.approx((0, 1.05 * 520))  # bars reach to 4 % above


def test_one_series_says_where_it_saturates(scan: list[Record]) -> None:
    drawn = series(scan[:5], "clients", "throughput")
    (axes,) = lines(drawn, "clients", "throughput", saturations=[Saturation(900, 9.0, 8.5, 9.5, 9.0)]).axes
    assert legend(axes) == ["95 % of the plateau: 9 (8.5 to 9.5) clients", "measured"]


def test_what_fewer_clients_saturate_has_no_mark(make: Callable[..., Record]) -> None:
    pytest.importorskip("iminuit")
    full = [make(500.0, settings={"clients": 8 * n}) for n in CLIENTS]
    drawn = picture(full, "clients", "throughput")
    assert drawn.caption.endswith("; plateau 500/s, 95 % of it at 8 or fewer clients")
    (axes,) = drawn.figure.axes
    assert legend(axes) == ["measured"]
    assert not axes.patches
    (axes,) = fits(compare(full, names=["mva"])).axes
    assert axes.get_title().splitlines()[1] == "95 % at 8 or fewer clients"
    rising = [make(100.0 * n, settings={"clients": n}) for n in CLIENTS]
    assert picture(rising, "clients", "throughput").caption.endswith("; no plateau, the last point has 1,600/s")


def test_many_series_share_colours_and_lines_which_the_legend_tells(make: Callable[..., Record]) -> None:
    made = [
        make(10.0 * n, settings={"clients": n, "protocol": protocol, "instances": instances})
        for protocol in ("grpc", "http", "local")
        for instances in (1, 2, 4, 8)
        for n in CLIENTS
    ]
    (axes,) = lines(series(made, "clients", "throughput"), "clients", "throughput").axes
    assert len(axes.containers) == 12
    assert legend(axes) == ["grpc", "http", "local", "instances 1", "instances 2", "instances 4", "instances 8"]


def test_more_series_than_are_told_apart_are_refused(make: Callable[..., Record]) -> None:
    drawn = series([make(1.0, settings={"batch": n}) for n in range(25)], "clients", "throughput")
    with pytest.raises(DataError, match="25 series of throughput cannot be told apart, 24 can: choose some of them"):
        lines(drawn, "clients", "throughput")
    assert len(lines(drawn[:24], "clients", "throughput").legends[0].get_texts()) == 24


def test_many_latencies_have_a_panel_for_half_and_one_for_nearly_all(make: Callable[..., Record]) -> None:
    made = [make(10.0 * n, settings={"clients": n, "batch": batch}) for batch in range(1, 12) for n in CLIENTS]
    middle, tail = (series(made, "clients", name) for name in ("p50_ms", "p99_ms"))
    left, right = latency(middle, tail, "clients").axes
    assert (left.get_ylabel(), right.get_ylabel()) == (
        "half of the requests within (ms)",
        "99 % of the requests within (ms)",
    )
    assert len(left.lines) == len(right.lines) == 11
    assert left.get_ylim() == right.get_ylim()
    assert right.get_ylim()[1] >= max(each.y.max() for each in tail)


def test_latency_is_solid_for_half_and_dashed_for_nearly_all(scan: list[Record]) -> None:
    middle, tail = (series(scan, "clients", name) for name in ("p50_ms", "p99_ms"))
    (axes,) = latency(middle, tail, "clients").axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"] * 2
    assert legend(axes) == ["grpc", "http"]
    (axes,) = latency(middle[:1], tail[:1], "clients").axes
    assert legend(axes) == ["half within", "99 % within"]


def test_ratios_are_taken_where_both_have_points(scan: list[Record]) -> None:
    grpc, http = series(scan[:8], "clients", "throughput")
    (axes,) = ratios([(grpc, http)], "clients", "grpc over http").axes
    assert axes.get_ylabel() == "grpc over http"
    assert axes.get_legend() is None
    ((line, _, _),) = axes.containers
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 4])
    np.testing.assert_allclose(line.get_ydata(), [1, 1, 1])
    with pytest.raises(DataError, match="no two series have clients in common"):
        ratios([], "clients", "nothing")


def test_modules_are_drawn_by_name_beside_what_was_published(make: Callable[..., Record]) -> None:
    jobs = [make(1.0, settings={"clients": n}, details={"module_s.hits": 1.0 * n, "module_s.io": 0.5}) for n in (1, 8)]
    beside = {"theirs": (np.array([4.0]), np.array([3.0]))}
    (axes,) = modules(jobs, ["module_s.hits", "module_s.io"], "clients", beside=beside).axes
    assert legend(axes) == ["hits", "io", "theirs"]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0


def test_fits_have_a_panel_for_each_series(scan: list[Record]) -> None:
    pytest.importorskip("iminuit")
    figure = fits(compare(scan, names=["protodune", "amdahl"]))
    left, right = figure.axes
    assert left.get_title() == "grpc\nnot saturated"
    assert right.get_title().startswith("http\n95 % at ")
    (shared,) = figure.legends
    assert sorted(text.get_text() for text in shared.get_texts()) == ["amdahl", "measured", "protodune"]


def test_fits_say_what_the_points_only_bound(make: Callable[..., Record]) -> None:
    pytest.importorskip("iminuit")
    rising = [make(100.0 * n, settings={"clients": n}) for n in CLIENTS]
    (axes,) = fits(compare(rising, names=["protodune", "amdahl"])).axes
    bound = axes.get_title().splitlines()[2]
    assert re.fullmatch(r"protodune: capacity >= 1,5\d\d/s, saturation >= 1[45]\.\d+", bound)


def test_fits_of_jobs_say_jobs(make: Callable[..., Record]) -> None:
    pytest.importorskip("iminuit")
    jobs = [msgspec.structs.replace(make(100.0 * min(n, 6)), settings={"jobs": n}) for n in CLIENTS]
    (axes,) = fits(compare(jobs, names=["mva"])).axes
    assert axes.get_xlabel() == "jobs"
    assert re.search(r"95 % at .* jobs$", axes.get_title())
