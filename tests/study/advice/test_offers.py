"""The best of a scan, and what each setting is worth."""

from __future__ import annotations

import msgspec
import pytest

from sonic.study.advice.job import Job, Offload
from sonic.study.advice.offers import gain_of, offers
from sonic.study.advice.plan import plan
from sonic.study.advice.reasons import reasons
from sonic.study.advice.site import Kind, Site, of_machines
from sonic.study.records import Estimate, Latencies, Machine, Record, ServerWindow, Window

MACHINE = Machine(system="Linux", processor="P", cores=4)


def record(rate: float, clients: int, *, status: str = "measured", queue_s: float = 0.0, **settings) -> Record:
    latency_s = clients / rate
    server = ServerWindow(
        requests=100, failures=0, executions=50, rows=200, queue_s=queue_s, input_s=0.0, infer_s=0.01, output_s=0.0
    )
    return Record(
        target="tagger",
        settings={"clients": clients, "rows": 2, **settings},
        status=status,
        started="",
        machine=MACHINE,
        versions={},
        row_rate=Estimate(rate),
        latencies=Latencies(count=1, mean_s=latency_s, least_s=0.0, most_s=1.0, edges_s=(), counts=()),
        windows=(Window(duration_s=1.0, requests=100, errors=0, rows=200, server=server),),
    )


SCAN = [
    record(100, 1, delay_us=0, instances=1),
    record(300, 8, delay_us=0, instances=1, queue_s=0.01),
    record(450, 8, delay_us=100, instances=1, queue_s=0.03),
    record(200, 8, delay_us=100, instances=2),
    record(999, 8, delay_us=0, instances=2, status="unstable"),
]


def test_the_best_of_each_way_the_quickest_first() -> None:
    found = offers(SCAN)
    assert [offer.rows_per_s for offer in found] == [450, 300, 200]
    best = found[0]
    assert best.settings == {"rows": 2, "delay_us": 100, "instances": 1}
    assert (best.clients, best.batch_rows, best.kind) == (8, 4, "4 cores of P")
    assert best.queue_part == pytest.approx(0.75)
    assert found[1].latency_s == pytest.approx(0.01)
    assert found[1].busy_latency_s == pytest.approx(8 / 300)


def test_the_network_and_a_pause_are_of_who_asks() -> None:
    far = record(90, 8, round_trip_ms=60.0, bandwidth_mbps=100.0)
    (offer,) = offers([record(100, 8, round_trip_ms=0.0), far, record(20, 8, think_s=0.5)])
    assert offer.rows_per_s == 100
    assert offer.settings == {"rows": 2}


def test_clients_that_execute_the_model_themselves_are_no_servers() -> None:
    (offer,) = offers([record(100, 8, protocol="grpc"), record(900, 8, protocol="local")])
    assert (offer.rows_per_s, offer.settings["protocol"]) == (100, "grpc")


def test_what_is_simulated_is_not_measured_and_told_of_one_server() -> None:
    many = record(400, 8, simulated=True, servers=4, seed=1, server_kind="T4")
    varying = msgspec.structs.replace(many, details={"servers_mean": 5.0})
    for each, rate in ((many, 100), (varying, 80)):
        (offer,) = offers([each])
        assert (offer.rows_per_s, offer.kind, offer.measured, offer.simulated) == (rate, "T4", False, True)
    found = offers([many])
    offload = Offload("tag", "tagger", cpu_s=0.9, host_s=0.0, rows=10, bytes_sent=1e6, bytes_received=1e3)
    made = plan(Job("w", 1.0, 10, (offload,)), found, Site(servers={"T4": Kind(hour=0.01)}), jobs=10)
    assert "its rate is simulated" in {advice.reason for advice in reasons(made, found)}


def test_what_a_setting_is_worth() -> None:
    found = offers(SCAN)
    assert gain_of("delay_us", found, found[0]) == (100, 0, 1.5)
    assert gain_of("instances", found, found[0]) == (1, 2, 2.25)
    assert gain_of("rows", found, found[0]) is None
    assert gain_of("colour", found, found[0]) is None


def test_the_reasons_have_the_figures() -> None:
    found = offers(SCAN)
    offload = Offload("tag", "tagger", cpu_s=0.9, host_s=0.0, rows=10, bytes_sent=1e6, bytes_received=1e3)
    site = Site(servers={"4 cores of P": Kind(hour=0.01)})
    job = Job("w", 1.0, 10, (offload,), host_known=False)
    said = {advice.choice: advice.reason for advice in reasons(plan(job, found, site, jobs=10), found)}
    assert said["delay_us = 100"] == "1.50 times the rows/s of 0"
    assert said["instances = 1"] == "2.25 times the rows/s of 2"
    assert "executions had 4 rows of requests with 2" in said["batch dynamically"]
    assert any("sonic study replay" in choice for choice in said)
    assert "give a report with a server too" in said
    assert "scan more clients" not in said


def test_the_machines_of_a_scan_are_as_dear_as_their_cores() -> None:
    site = of_machines(SCAN, Site(core_hour=0.5))
    assert site.servers == {"4 cores of P": Kind(hour=2.0)}
    one = [msgspec.structs.replace(each, settings={**each.settings, "cores": 1}) for each in SCAN]
    assert of_machines(one, Site(core_hour=0.5)).servers == {"1 core of P": Kind(hour=0.5)}
    assert offers(one)[0].kind == "1 core of P"
    named = [msgspec.structs.replace(each, settings={**each.settings, "server_kind": "big"}) for each in SCAN]
    assert list(of_machines(named).servers) == ["big"]
