from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.workloads import case, table
from benchmarks.workloads.__main__ import main
from benchmarks.workloads.case import Found, Ordinary, Repeat
from benchmarks.workloads.measure import measure
from sonic.errors import ConfigError, ModelFailed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Two events of tracks, measured twice."""
    seen: list[Any] = []

    def merit(summaries: Any, result: Any) -> tuple[str, str]:
        return f"{summaries['tracking_performance']['tracks']} tracks", f"{result}"

    ordinary = Ordinary("nothing", lambda file: file.name, lambda prepared: seen.append(prepared) or len(seen))
    tracks = replace(case.load("tracking"), events=2, options={"particles": 15}, ordinary=ordinary, merit=merit)
    folder = tmp_path_factory.mktemp("bench")
    return measure("tracks", tracks, folder, repeats=2, seconds=0.0, note=lambda _: None)


def test_a_workload_is_measured_by_each_route(found: Found):
    assert found.same
    assert found.models == ("track_fit",)
    assert 10 * 10 * 2 * 8 < found.request_bytes < 40 * 10 * 2 * 8 * 2
    assert found.merit.endswith(" tracks")
    assert found.ordinary_merit == "2"  # it ran twice
    assert len(found.repeats) == 2
    for repeat in found.repeats:
        assert 0 < repeat.algorithm_ms < repeat.job_direct_ms
        assert repeat.job_service_ms > 0
        assert repeat.ordinary_ms is not None
        assert 0 <= repeat.hidden <= 1


def test_the_tables_have_medians_and_the_spread_of_ratios():
    repeats = tuple(Repeat(10.0, service, 4.0, 400.0, 0.5) for service in (5.0, 9.0, 8.0))
    one = Found("hcal", ("facile",), "pulse fit", 6_080_000, 0.5, True, "fine", "coarse", "random weights", repeats)
    row = dict(zip(table.COST, table.cost(one), strict=True))
    assert (row["workload"], row["offloaded"]) == ("hcal", "facile")
    assert row["request"] == "6.08 MB"
    assert row["ratio"] == "0.80 (0.50 to 0.90)"
    assert row["hidden"] == "50 %"
    assert row["same bits"] == "yes"
    row = dict(zip(table.ALGORITHM, table.algorithm(one), strict=True))
    assert row["workload"] == "hcal (random weights)"
    assert row["ordinary algorithm"] == "400 (pulse fit)"
    assert row["ratio"] == "100 (100 to 100)"


def test_without_an_ordinary_algorithm_there_is_none_to_compare():
    one = Found("fit", ("fit",), "", 320, 3, False, "fine", "", "", (Repeat(10.0, 5.0, 4.0, None, 0.5),))
    row = dict(zip(table.ALGORITHM, table.algorithm(one), strict=True))
    assert row["ordinary algorithm"] == row["ratio"] == row["ordinary's"] == "-"
    row = dict(zip(table.COST, table.cost(one), strict=True))
    assert row["request"] == "0.32 kB, 3 an event"
    assert row["same bits"] == "NO"


def test_what_was_found_as_markdown_and_as_json(found: Found):
    cost, algorithm = table.markdown([found]).split("\n\n")
    for drawn, head in ((cost, table.COST), (algorithm, table.ALGORITHM)):
        assert [line.count("|") for line in drawn.splitlines()] == [len(head) + 1] * 3
    written = json.loads(table.as_json([found], {"hlt": "no fastjet"}, {"ecal": "no answer"}))
    assert written["found"][0]["repeats"][1]["algorithm_ms"] == found.repeats[1].algorithm_ms
    assert written["skipped"] == {"hlt": "no fastjet"}
    assert written["failed"] == {"ecal": "no answer"}


@pytest.mark.parametrize(
    ("error", "named", "status"),
    [
        (ModelFailed("no answer"), ["tracking"], 1),
        (ModelFailed("no answer"), [], 1),
        (ConfigError("get sonic-hep[tracking]"), ["tracking"], 1),
        (ConfigError("get sonic-hep[tracking]"), [], 0),
    ],
)
def test_a_workload_that_fails_is_not_one_that_is_left_out(
    error: Exception,
    named: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    def measured(*_: Any, **__: Any) -> Found:
        raise error

    monkeypatch.setattr("benchmarks.workloads.__main__.measure", measured)
    monkeypatch.setattr(case, "names", lambda: ("tracking",))
    monkeypatch.setattr("sys.argv", ["benchmark", *named, "--json", str(tmp_path / "found.json")])
    assert main() == status
    assert str(error) in capsys.readouterr().out
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["failed" if isinstance(error, ModelFailed) else "skipped"] == {"tracking": str(error)}
