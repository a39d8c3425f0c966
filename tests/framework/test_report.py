from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sonic.framework import Measured
from sonic.framework.ledger import Account
from sonic.framework.report import ModuleReport, Report, ServerUse, server_report
from sonic.protocol.messages import Duration, ModelStatistics


def test_the_servers_side_is_a_difference():
    before = ModelStatistics("m", "1", 100, 50, queue=Duration(50, 1_000_000_000), compute_infer=Duration(50, 10))
    after = ModelStatistics(
        "m",
        "1",
        400,
        150,
        queue=Duration(150, 3_500_000_000),
        compute_input=Duration(100, 500_000_000),
        compute_infer=Duration(150, 1_000_000_010),
    )
    report = server_report(before, after)
    assert (report.rows, report.executions, report.mean_batch) == (300, 100, 3.0)
    assert (report.queue_s, report.compute_s) == (2.5, 1.5)
    assert server_report(before, before).mean_batch == 0.0
    assert server_report(after, before) is None  # loaded anew in between


def a_report(**changes):
    module = ModuleReport(
        "tagger", "offload", 2, 20, None, 0.1, 0.2, Account(external_ns=10**9).offload("m", "", "async", None)
    )
    fields = {
        "workflow": "w",
        "inputs": ("a.root",),
        "outputs": (),
        "servers": (ServerUse("grpc://h:1", 3, 0, 2, 1, "full"),),
        "mode": "service",
        "offload_mode": "async",
        "threads": 2,
        "streams": 4,
        "chunk_size": 10,
        "repeat": 1,
        "events": 20,
        "events_written": 20,
        "chunks": 2,
        "wall_s": 0.5,
        "cpu_s": 0.4,
        "events_per_s": 40.0,
        "external_s": 1.0,
        "hidden_s": 0.9,
        "peak_rss_bytes": 1,
        "modules": (module,),
        "summaries": {"h": {"events": 3}},
        "versions": {"sonic": "1"},
        "records_kept": 0,
        "records_cut": 0,
        "totals": {"h": object()},
    }
    return Report(**fields | changes)


def test_json_has_the_figures_and_not_the_objects():
    report = json.loads(a_report().to_json())
    assert report["hidden_fraction"] == pytest.approx(0.9)
    assert report["modules"][0]["offload"]["external_s"] == 1.0
    memory = {"in_memory": 2, "over_wire": 1, "wire_reason": "full"}
    assert report["servers"] == [{"url": "grpc://h:1", "completed": 3, "failed": 0, **memory, "models": {}}]
    assert report["summaries"] == {"h": {"events": 3}}
    assert "totals" not in report
    assert "records" not in report


def test_errors_of_figures_stand_beside_them():
    figures = {"events": 3, "efficiency": Measured(0.9, 0.05, 0.04), "new": Measured(float("nan"), float("nan"))}
    result = a_report(summaries={"h": figures, "g": {"events": 3, "word": "none"}})
    assert list(result.errors) == ["h"]
    report = json.loads(result.to_json())
    assert report["summaries"] == {"h": figures | {"new": None}, "g": {"events": 3, "word": "none"}}
    assert report["errors"] == {"h": {"efficiency": [0.05, 0.04], "new": [None, None]}}
    assert json.loads(a_report().to_json())["errors"] == {}


def test_what_the_fallback_answered_in_all_and_by_model():
    report = json.loads(a_report(fallback_models={"m": 3, "n": 1}).to_json())
    assert (report["by_fallback"], report["fallback_models"]) == (4, {"m": 3, "n": 1})


def test_modules_have_their_share_of_the_time():
    (one,) = a_report().modules
    jets, idle = replace(one, name="jets", cpu_s=0.3), replace(one, name="idle", cpu_s=0.0)
    report = a_report(modules=(one, jets, idle))
    assert [report.share(module) for module in report.modules] == pytest.approx([0.25, 0.75, 0.0])
    shares = [module["cpu_share"] for module in json.loads(report.to_json())["modules"]]
    assert shares == pytest.approx([0.25, 0.75, 0.0])
    assert a_report(modules=(idle,)).share(idle) == 0.0


def test_the_headline():
    assert a_report().headline == "2 threads, 4 streams, 40 events/s, 90 % of 1 s external time hidden"
    assert a_report(external_s=0.0, events_per_s=1234.5).headline == "2 threads, 4 streams, 1234 events/s"
    assert a_report(external_s=0.0, processes=3).headline == "3 processes, 2 threads, 4 streams, 40 events/s"
    assert a_report(external_s=0.0).hidden_fraction is None
