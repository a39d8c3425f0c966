from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sonic
from sonic.client.url import connect, parse_server
from sonic.errors import DataError, Unavailable
from sonic.monitor.endpoint import Endpoint
from sonic.monitor.rates import Scrape
from sonic.protocol.messages import BatchStatistics, Duration, InferRequest, ModelStatistics
from sonic.study.load.server import Sample, ServerWatch, cores_between, identity, own_cores, window

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.server.app import Server

BEFORE = ModelStatistics("m", "1", 10, 5, success=Duration(8, 800), queue=Duration(8, 80))
AFTER = ModelStatistics(
    "m",
    "1",
    34,
    9,
    success=Duration(12, 2000),
    fail=Duration(1, 5),
    queue=Duration(12, 80 + 4 * 10**9),
    compute_input=Duration(12, 10**9),
    compute_infer=Duration(12, 8 * 10**9),
    compute_output=Duration(12, 2 * 10**9),
)


def test_a_window_is_the_difference_of_two_samples() -> None:
    found = window(Sample((BEFORE,), 1.0, 10.0, 10.0), Sample((AFTER,), 3.5, 15.0, 15.0), 0.25)
    assert found is not None
    assert (found.requests, found.failures, found.executions, found.rows) == (4, 1, 4, 24)
    assert (found.queue_s, found.input_s, found.infer_s, found.output_s) == (1.0, 0.25, 2.0, 0.5)
    assert (found.duration_s, found.cpu_s, found.gpu_use, found.batch_rows) == (5.0, 2.5, 0.25, 6.0)


def test_processor_time_is_of_as_long_as_the_counters_though_it_is_read_after_them() -> None:
    before, after = Sample((BEFORE,), 1.0, 10.0, 10.5), Sample((AFTER,), 4.0, 12.0, 14.5)
    found = window(before, after)
    assert found is not None
    assert cores_between(before, after) == 0.75
    assert (found.duration_s, found.cpu_s) == (2.0, 1.5)
    assert cores_between(before, before) is None


def test_processor_time_that_falls_is_another_processs() -> None:
    # The server was started anew, or a child of its has ended.
    assert cores_between(Sample((), 60.0, cpu_at_s=10.0), Sample((), 1.0, cpu_at_s=12.0)) is None


def test_executions_are_told_apart_by_their_size() -> None:
    def of(rows: int, number: int, each_ns: int) -> BatchStatistics:
        return BatchStatistics(rows, *[Duration(number, number * each_ns)] * 3)

    before = replace(BEFORE, batches=(of(8, 2, 100), of(1, 5, 10)))
    after = replace(AFTER, batches=(of(8, 6, 100), of(4, 1, 50), of(1, 5, 10)))
    found = window(Sample((before,)), Sample((after,)))
    assert found is not None
    assert [(size.rows, size.number, pytest.approx(size.mean_s)) for size in found.sizes] == [
        (4, 1, 150e-9),
        (8, 4, 300e-9),
    ]


def test_several_models_are_summed() -> None:
    found = window(Sample((BEFORE, BEFORE)), Sample((AFTER, BEFORE)))
    assert found is not None
    assert found.sizes == ()
    assert (found.requests, found.rows, found.queue_s, found.cpu_s) == (4, 24, 1.0, None)


def test_of_a_model_that_was_loaded_anew_nothing_is_known() -> None:
    assert window(Sample((AFTER,)), Sample((BEFORE,))) is None


def test_no_request_is_no_division() -> None:
    found = window(Sample((BEFORE,)), Sample((BEFORE,)))
    assert found is not None
    assert (found.queue_s, found.batch_rows) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_a_real_server(server: Server, kind: str) -> None:
    address = parse_server(f"{kind}://127.0.0.1:{getattr(server, f'{kind}_port')}")
    transport = connect(address)
    with ServerWatch(transport, address, ["echo"], f"http://127.0.0.1:{server.metrics_port}/metrics") as watch:
        before = watch.sample()
        model = sonic.Model(f"{server.grpc_url}/echo")
        for _ in range(3):
            model(x=np.zeros((2, 16), np.float32))
        model.close()
        watch.look()
        found = watch.window(before, watch.sample())
    transport.close()
    assert found is not None
    assert (found.requests, found.rows) == (3, 6)
    ((rows, number, mean_s),) = [(size.rows, size.number, size.mean_s) for size in found.sizes]
    assert (rows, number) == (2, 3)
    assert 0 < mean_s < 10
    assert found.cpu_s is not None
    assert found.cpu_s >= 0
    assert identity(address).startswith("sonic ")


def test_without_metrics_the_process_that_listens_is_looked_at(
    server: Server, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psutil")
    for url in (f"grpc://127.0.0.1:{server.grpc_port}", f"grpc+unix:{repository.parent}/grpc.sock"):
        address = parse_server(url)
        transport = connect(address)
        with ServerWatch(transport, address, ["echo"]) as watch:
            sample = watch.sample()
        assert sample is not None
        assert sample.cpu_s is not None
        assert sample.cpu_s > 0
        monkeypatch.setitem(sys.modules, "psutil", None)
        with ServerWatch(transport, address, ["echo"]) as watch:
            sample = watch.sample()
        monkeypatch.undo()
        transport.close()
        assert sample is not None
        assert sample.cpu_s is None


def test_metrics_of_another_server_are_not_taken(server: Server, repository: Path) -> None:
    # Its metrics are where one would look for those of the first, and have other counts.
    with sonic.serve(repository, http_port=None) as other:
        address = replace(parse_server(server.grpc_url), where=f"127.0.0.1:{other.metrics_port - 1}")
        transport = connect(parse_server(server.grpc_url))
        transport.submit(InferRequest("echo", {"x": np.zeros((1, 16), np.float32)})).result()
        with ServerWatch(transport, address, ["echo"]) as watch:
            sample = watch.sample()
        transport.close()
    assert sample is not None
    assert sample.cpu_s is None


def test_metrics_that_are_named_have_to_be_there(server: Server) -> None:
    address = parse_server(server.grpc_url)
    with closing(connect(address)) as transport:
        with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1/metrics"):
            ServerWatch(transport, address, ["echo"], "http://127.0.0.1:1/metrics")
        with pytest.raises(DataError, match=f"http://127.0.0.1:{server.http_port}/v2"):
            ServerWatch(transport, address, ["echo"], f"http://127.0.0.1:{server.http_port}/v2")


def test_how_busy_gpus_are_is_seen_within_a_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        def statistics(self, *_: object, **__: object) -> ModelStatistics:
            return AFTER

    # Before the load nothing is busy, and at the end of a window it is already read for the next.
    told = iter([0.0, 0.0, 0.5, 0.7, 0.9, 0.8, 0.1])
    monkeypatch.setattr(Endpoint, "scrape", lambda _: Scrape({}, gpu_utilization={"a": (use := next(told)), "b": use}))
    with ServerWatch(Counting(), parse_server("grpc://127.0.0.1:1"), ["m"], "http://127.0.0.1:2") as watch:  # type: ignore[arg-type]
        before = watch.sample()
        watch.look()
        watch.look()
        middle = watch.sample()
        first = watch.window(before, middle)
        watch.look()
        second = watch.window(middle, watch.sample())
    assert first is not None
    assert second is not None
    assert (first.gpu_use, second.gpu_use) == (pytest.approx(0.6), pytest.approx(0.8))


def test_a_server_that_says_nothing() -> None:
    class Silent:
        def statistics(self, *_: object, **__: object) -> ModelStatistics:
            raise Unavailable("gone")

    address = parse_server("grpc://127.0.0.1:1")
    with ServerWatch(Silent(), address, ["m"]) as watch:  # type: ignore[arg-type]
        assert watch.sample() is None
        assert watch.window(None, None) is None
        assert cores_between(None, None) is None
    pytest.importorskip("psutil")
    # Another listens at its address, and its process is known all the same.
    with ServerWatch(Silent(), address, ["m"], pid=os.getpid()) as watch:  # type: ignore[arg-type]
        before, after = watch.sample(), watch.sample()
        assert watch.window(before, after) is None
        assert (cores_between(before, after) or 0.0) >= 0.0
        assert before is not None
        assert before.cpu_s
    with ServerWatch(Silent(), address, ["m"], pid=2**22 + 1) as watch:  # type: ignore[arg-type]
        assert watch.sample() is None  # it has ended
    assert identity(address) == ""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not say which cores a process has")
def test_cores_are_a_servers_own_if_the_load_may_use_none_of_them() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core cannot be shared out")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        try:
            assert own_cores(server.pid) == 0
            os.sched_setaffinity(server.pid, cores[:1])
            assert own_cores(server.pid) == 0
            os.sched_setaffinity(0, cores[1:])
            assert own_cores(server.pid) == 1
        finally:
            os.sched_setaffinity(0, cores)
            server.kill()
    assert own_cores(server.pid) == own_cores(None) == 0
