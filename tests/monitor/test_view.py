from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from rich.console import Console

from sonic.monitor.rates import ModelRates, Scrape
from sonic.monitor.view import bars, number, render
from sonic.monitor.watch import Screen

ROW = ModelRates("b-tagger", "1", 47.25, 1469.0, 0.0, 45.4, 0.963, 0.68, 0.2, 3.0)
QUIET = ModelRates("quiet", "12", 0.0, 0.0, 1.5, None, None, None, None, 0.0)
LAST = Scrape({}, 0.5, (3 * 2**30, 24 * 2**30), {"GPU-1": 0.25})


def shown(screen: Screen, width: int = 100, height: int | None = None) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(screen, "http://h:8002/metrics", height))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_screen() -> None:
    lines = shown(Screen((ROW, QUIET), LAST, {("b-tagger", "1"): (10.0, 20.0, 47.25)}))
    assert lines[0] == "sonic top http://h:8002/metrics"
    assert lines[1] == "CPU 50%  memory 3.0 of 24.0 GiB  GPU 25%"
    assert lines[2].split() == ["model", "ver", "req/s", "rows/s", "batch", "latency", "queue", "waiting", "fail/s"]
    assert lines[3].split() == ["b-tagger", "1", "47.2", "1,469", "45.4", "0.96", "ms", "0.68", "ms", "3", "0", "▂▄█"]
    assert lines[4].split() == ["quiet", "12", "0", "0", "-", "-", "-", "0", "1.50"]


@pytest.mark.parametrize(("width", "places"), [(100, 20), (80, 8), (72, 0)])
def test_bars_take_what_is_left_of_the_width(width: int, places: int) -> None:
    past = {("b-tagger", "1"): (1.0,) * 20}
    lines = shown(Screen((ROW, QUIET), LAST, past), width)
    assert max(map(len, lines)) <= width
    assert "0.96 ms  0.68 ms" in lines[3]
    assert lines[3].count("█") == places


def test_a_narrow_terminal_keeps_name_rate_and_latency() -> None:
    lines = shown(Screen((ROW, QUIET), LAST, {}), 44)
    assert max(map(len, lines)) <= 44
    assert lines[2].split() == ["model", "req/s", "batch", "latency", "waiting"]
    assert lines[3].split() == ["b-tagger", "47.2", "45.4", "0.96", "ms", "3"]


def test_a_long_name_takes_the_place_of_columns_and_then_goes_on_in_the_next_line() -> None:
    lines = shown(Screen((replace(ROW, name="a" * 40),), LAST, {}), 80)
    assert max(map(len, lines)) <= 80
    assert lines[3].split() == ["a" * 40, "47.2", "45.4", "0.96", "ms", "3", "0"]
    lines = shown(Screen((replace(ROW, name="a" * 90),), LAST, {}), 80)
    assert max(map(len, lines)) <= 80
    assert "".join(lines).count("a") >= 90


def test_what_a_server_says_is_no_order_to_the_terminal() -> None:
    row = replace(ROW, name="b\x1b[2Jé", version="1\x1b]0;v\x07")
    lines = shown(Screen((row,), LAST, {}, trouble="no\x1b[31m answer", silent_s=2.0))
    assert "\x1b" not in "".join(lines)
    assert lines[2] == "gone for 2 s, trying on: no�[31m answer"
    assert lines[4].split()[:2] == ["b�[2Jé", "1�]0;v�"]


def test_a_low_terminal_shows_the_models_that_have_most_to_do_and_counts_the_others() -> None:
    rows = [replace(QUIET, name=f"model-{n}", failures_per_s=0.0) for n in range(40)]
    rows[7] = replace(rows[7], requests_per_s=5.0)
    rows[30] = replace(rows[30], failures_per_s=1.0)
    rows[31] = replace(rows[31], pending=9.0)
    rows[32] = replace(rows[32], requests_per_s=nan)
    lines = shown(Screen(tuple(rows), LAST, {}), height=8)
    assert len(lines) == 8
    assert lines[2] == "4 of 40 models: the busiest"
    assert [line.split()[0] for line in lines[4:]] == ["model-0", "model-7", "model-30", "model-31"]
    for height in (43, None):
        lines = shown(Screen(tuple(rows), LAST, {}), height=height)
        assert [line.split()[0] for line in lines[3:]] == [row.name for row in rows]


def test_a_name_is_no_markup() -> None:
    assert shown(Screen((replace(ROW, name="a[run][/x]"),), LAST, {}))[3].startswith("a[run][/x] ")


@pytest.mark.parametrize(
    ("screen", "text"),
    [
        (Screen(None, None, {}), "rates come with the second answer"),
        (Screen((), Scrape({}), {}), "no model is loaded"),
        (Screen((ROW,), None, {}, "connection refused", 3.4), "gone for 3 s, trying on: connection refused"),
        (Screen(None, None, {}, "connection refused", 0.0), "gone for 0 s, trying on: connection refused"),
    ],
)
def test_what_is_said(screen: Screen, text: str) -> None:
    assert text in shown(screen)


def test_the_last_numbers_stay_while_there_is_no_answer() -> None:
    assert any("b-tagger" in line for line in shown(Screen((ROW,), None, {}, "refused", 3.0)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (nan, "-"),
        (inf, "-"),
        (0.0, "0"),
        (0.001, "<0.01"),
        (0.5, "0.50"),
        (12.34, "12.3"),
        (40.0, "40"),
        (12345.6, "12,346"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_bars() -> None:
    assert bars(()) == ""
    assert bars((0.0, 0.0)) == "▁▁"
    assert bars((0.0, 5.0, 10.0)) == "▁▅█"
    assert bars((5.0, nan, inf, 10.0)) == "▅  █"
    assert bars((nan,)) == " "
