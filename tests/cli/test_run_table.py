from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from sonic.cli._run_table import _count, show
from sonic.framework import Measured
from sonic.framework.report import Failure, ModuleReport, OffloadReport, Report, ServerReport, ServerUse, Written


def shown(*modules: ModuleReport, width: int = 80, **others: Any) -> list[str]:
    numbers = dict.fromkeys(("threads", "streams", "chunk_size", "repeat", "events", "events_written", "chunks"), 1)
    times = dict.fromkeys(("wall_s", "cpu_s", "events_per_s", "external_s", "hidden_s"), 1.0)
    given = {"workflow": "w", "inputs": (), "outputs": (), "servers": (), "mode": "service", "offload_mode": "async"}
    rest = {"peak_rss_bytes": 1, "summaries": {}, "versions": {}, "records_kept": 0, "records_cut": 0}
    console = Console(file=io.StringIO(), width=width, emoji=False)
    show(Report(**(given | numbers | times | rest | others), modules=modules), console)
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def an_offload(name: str, events: int = 20, passed: int | None = None) -> ModuleReport:
    server = ServerReport(rows=1, executions=100, mean_batch=12_345.0, queue_s=0.0, compute_s=0.0)
    offload = OffloadReport("m", "", "async", 12_345, 1, 1, 1, 81_004.0, 60_000_000, 40_000_000, 2.0, 1.0, server)
    return ModuleReport(name, "offload", 2, events, passed, 0.25, 0.3, offload)


def test_a_module_has_its_time_and_its_share_and_an_offload_a_row_in_a_table_of_its_own():
    lines = shown(ModuleReport("jets", "producer", 2, 20, None, 0.75, 0.8), an_offload("tagger"))
    assert lines[1] == "module events CPU share"
    assert "jets 20 0.750 s 75 %" in lines
    assert "tagger 20 0.250 s 25 %" in lines
    at = lines.index("offload external hidden requests bytes batch")
    assert lines[at + 2].startswith("tagger 2.000 s 50 % 12345 100 MB 81k (12.3k)")


def test_without_an_offload_there_is_one_table():
    jets = ModuleReport("jets", "producer", 2, 20, None, 1.0, 1.0)
    assert not any(line.startswith("offload") for line in shown(jets))


def test_long_names_and_numbers_fit_into_a_terminal_of_80_columns():
    name = "tracking_performance_of_all"
    lines = shown(an_offload(name, events=10_000_000, passed=1_000_000))
    assert f"{name} 1000000/10000000 0.250 s 100 %" in lines
    assert any(line.startswith(f"{name} 2.000 s") for line in lines)


@pytest.mark.parametrize(
    ("number", "text"), [(25, "25"), (1.25, "1.25"), (999.6, "1k"), (31_680, "31.7k"), (2_500_000, "2.5M")]
)
def test_large_numbers_are_short(number: float, text: str):
    assert _count(number) == text


def test_the_fallback_s_requests_are_told_by_model():
    lines = shown(an_offload("tagger"), width=300, fallback_models={"tagger": 5, "fit": 2})
    assert "7 requests were answered by the fallback: 5 to tagger, 2 to fit" in lines


def test_shared_memory_that_was_not_ready_in_time_is_no_news():
    server = ServerUse("grpc://h:1", 5, 0, in_memory=0, over_wire=3)
    assert not any("shared memory" in line for line in shown(servers=(server,), width=300))
    for use in (replace(server, in_memory=1), replace(server, wire_reason="no room")):
        assert any("large requests through shared memory" in line for line in shown(servers=(use,), width=300))


def test_figures_have_the_digits_that_their_errors_leave():
    lines = shown(summaries={"h": {"events": 3, "mean": 1 / 3, "efficiency": Measured(0.97612, 0.0123)}})
    assert "mean 0.33333" in lines
    assert "efficiency 0.976 +- 0.012" in lines


def test_names_are_shown_as_they_are_and_are_no_markup():
    name = "a[run]b[/x]"
    failure = Failure(name, "broken [/x]", 0, f"{name}.root", 0, 2)
    lines = shown(
        an_offload(name),
        width=300,
        workflow=name,
        summaries={name: {"passed": 1}},
        outputs=(Written(f"{name}.root", 3),),
        servers=(ServerUse(f"grpc://{name}", 0, 1, 1),),
        servers_named_by="settings",
        skipped=(failure,),
    )
    assert f"{name}, service" in lines
    assert sum(line.startswith(f"{name} ") for line in lines) == 2
    assert name in lines
    assert f"{name}.root: 3 events" in lines
    assert sum(f"grpc://{name}" in line for line in lines) == 3
    assert f"skipped chunk 0, {name}.root entries 0:2: module {name}: broken [/x]" in lines
