"""Whole measurements. Each takes a second for its processes, so that one shows several things."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

import pytest

import sonic
from sonic.client.url import parse_server
from sonic.errors import ConfigError, ProcessLost
from sonic.study.histogram import quantile
from sonic.study.load.inputs import FileInputs
from sonic.study.load.jobs import Job
from sonic.study.load.measure import _settings, measure, processes_of
from sonic.study.load.settings import LoadSettings
from sonic.study.load.tally import Tally
from sonic.study.series import value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.server.app import Server
    from sonic.study.load.inputs import Inputs
    from sonic.study.load.windows import Glance
    from sonic.study.records import Record, Setting

QUICK = LoadSettings(clients=4, rows=2, warmup_s=0.1, window_s=0.25, tolerance=10.0)
LONG_S = 1.5
"""Windows in which the server's counters are read in time, also where other tests have the cores."""

WORKFLOW = """
import awkward as ak
import numpy as np
from sonic.framework import Offload, Workflow

class Echo(Offload):
    name = "echo"
    model = "echo"
    consumes = ("nJet",)
    produces = ("out",)

    def acquire(self, events):
        return {"x": np.repeat(ak.to_numpy(events["nJet"]).astype(np.float32)[:, None], 16, axis=1)}

    def produce(self, events, outputs):
        return {"out": outputs["y"][:, 0]}

workflow = Workflow("jets", (Echo(),), keep=("out",), chunk_size=5)
"""


def test_a_closed_loop(server: Server) -> None:
    glances: list[Glance] = []
    metrics = f"http://127.0.0.1:{server.metrics_port}/metrics"
    settings = replace(QUICK, window_s=LONG_S)
    record = measure("echo", server.grpc_url, settings, metrics=metrics, progress=glances.append)
    assert (record.status, record.reason, record.target) == ("measured", "", "echo")
    assert record.settings == {
        "clients": 4,
        "rows": 2,
        "shared_memory": False,
        "processes": processes_of(QUICK),
        "protocol": "grpc",
        "compression": "none",
    }
    (echo,) = (model for model in server.dataplane.models() if model.spec.name == "echo")
    config = echo.config
    assert record.details["instances"] == record.served("instances") == echo.instances
    assert record.details["batch"] == (config.max_batch_size if config.HasField("dynamic_batching") else 0)
    assert len(record.windows) == 3
    assert record.throughput is not None
    assert record.row_rate is not None
    assert record.latencies is not None
    assert record.row_rate.value == pytest.approx(2 * record.throughput.value)
    # Little's law, which holds since a client's next request is due when it has its answer.
    assert record.throughput.value * record.latencies.mean_s == pytest.approx(4, rel=0.3)
    assert quantile(record.latencies, 0.5) <= quantile(record.latencies, 0.99) <= record.latencies.most_s
    for window in record.windows:
        assert (window.rows, window.bytes_sent, window.bytes_received) == tuple(
            window.requests * each for each in (2, 128, 128)
        )
        assert window.server is not None
        assert window.server.rows == 2 * window.server.requests > 0
        assert window.server.cpu_s is not None
    assert record.versions["server"].startswith("sonic ")
    assert record.machine.cores > 0
    assert [glance.phase for glance in glances[:2]] == ["warming up", "measuring"]


def test_an_open_loop_over_http(server: Server) -> None:
    settings = LoadSettings(rate=100.0, arrivals="constant", warmup_s=0.0, window_s=0.2, tolerance=10.0)
    record = measure("echo", f"http://127.0.0.1:{server.http_port}", settings)
    assert record.status == "measured"
    assert record.settings["rate"] == 100.0
    assert "clients" not in record.settings
    assert record.throughput is not None
    assert record.throughput.value == pytest.approx(100, rel=0.3)


def test_jobs_of_a_workflow(server: Server, tmp_path: Path) -> None:
    from conftest import SAMPLE

    file = tmp_path / "jets.py"
    file.write_text(WORKFLOW)
    settings = LoadSettings(clients=1, warmup_s=0.1, window_s=LONG_S, tolerance=10.0, repeats=1)
    record = measure(Job(str(file), (str(SAMPLE),)), server.grpc_url, settings)
    assert (record.status, record.reason, record.target) == ("measured", "", "jets")
    assert record.throughput is not None
    assert record.row_rate is not None
    assert record.row_rate.value == pytest.approx(5 * record.throughput.value)
    assert record.windows[0].server is not None
    assert record.windows[0].server.rows > 0


def test_a_server_that_ends_in_the_middle(repository: Path) -> None:
    with sonic.serve(repository) as mortal:

        def end(glance: Glance) -> None:
            if glance.windows == 1:
                mortal.close()

        record = measure(
            "echo", mortal.grpc_url, LoadSettings(warmup_s=0.0, window_s=0.1, tolerance=1e-9), progress=end
        )
    assert record.status == "failed"
    assert record.reason.startswith("all of ")
    assert record.windows[0].requests > 0


def test_what_is_asked_for_tells_points_apart() -> None:
    address = parse_server("grpc://gpu01:8001")

    def said(target: str | Job, inputs: Inputs | None = None, **load: Any) -> dict[str, Setting]:
        usual = _settings("m", LoadSettings(), address, None)
        settings = _settings(target, LoadSettings(**load), address, inputs)
        return {name: value for name, value in settings.items() if usual.get(name) != value}

    assert said("m", shapes={"x": (1, 3)}) == {"shape.x": "1,3"}
    assert "rows" not in _settings("m", LoadSettings(shapes={"x": (4, 3)}), address, None)  # which are not 1
    assert said("m", shapes={"x": (4, 3)}, rows=4) == {"shape.x": "4,3", "rows": 4}
    assert said("m", FileInputs("here/a.npz")) == {"input": "a.npz"}
    assert said("m", FileInputs("here/a.npz", 7)) == {"input": "a.npz", "rows": 7}
    job = Job("w", ("here/a.root", "b.root"), ("tagger=fast",))
    assert said(job) == {"threads": 1, "input": "a.root, b.root", "with.tagger": "fast"}


class Slices:
    """In the place of processes: what they would report, a slice a window."""

    def __init__(self, *tallies: Tally) -> None:
        self._tallies = tallies
        self.now_s = 0.0

    def __call__(self, works: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def slices(self, slice_s: float) -> Iterator[Tally]:
        assert slice_s == 0.25
        for tally in self._tallies:
            self.now_s += tally.duration_s
            yield tally
        raise ProcessLost("there are no more slices")


def slice_of(requests: int, errors: int = 0, latency_s: float = 0.1) -> Tally:
    tally = Tally(duration_s=0.25, requests=requests, errors=errors, rows=requests, error="no" if errors else "")
    tally.latencies.add([latency_s] * requests)
    return tally


def measured(server: Server, monkeypatch: pytest.MonkeyPatch, *tallies: Tally, **settings: Any) -> Record:
    slices = Slices(*tallies)
    monkeypatch.setattr("sonic.study.load.windows.Crew", slices)
    monkeypatch.setattr("sonic.study.load.server.clock", lambda: slices.now_s)
    return measure("echo", server.grpc_url, LoadSettings(**{"warmup_s": 0.0, "window_s": 0.25} | settings))


def test_it_goes_on_until_windows_agree_and_those_are_measured(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = [slice_of(n) for n in (5, 50, 80, 100, 101, 99, 1000)]
    record = measured(server, monkeypatch, *tallies)
    assert record.status == "measured"
    assert [window.requests for window in record.windows] == [100, 101, 99]
    assert record.throughput is not None
    assert record.throughput.value == pytest.approx(400)
    assert record.throughput.low is not None
    assert record.throughput.low < 400
    assert record.latencies is not None
    assert record.latencies.count == 300


def test_three_windows_agree_though_one_is_wanted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, *map(slice_of, (5, 80, 100, 101, 99, 1000)), repeats=1)
    assert [window.requests for window in record.windows] == [99]


def test_each_client_is_in_one_process() -> None:
    @sonic.service(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"}, instances=1)
    def slow(x: Any) -> Any:
        time.sleep(0.02)
        return x

    with sonic.serve(slow) as server:
        record = measure("slow", server.grpc_url, LoadSettings(clients=3, processes=2, window_s=1.0, tolerance=1.0))
    assert record.throughput is not None
    assert record.latencies is not None
    assert record.throughput.value * record.latencies.mean_s == pytest.approx(3, rel=0.15)  # by Little's law


def test_what_warms_up_does_not_count(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = [slice_of(n) for n in (100, 100, 100, 200, 200, 200)]
    record = measured(server, monkeypatch, *tallies, warmup_s=0.75)
    assert [window.requests for window in record.windows] == [200, 200, 200]


def test_a_window_is_several_slices(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, *[slice_of(10)] * 12, window_s=1.0, repeats=2)
    assert [(window.requests, window.duration_s) for window in record.windows] == [(40, 1.0), (40, 1.0)]


def test_windows_that_never_agree(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, *[slice_of(n) for n in (100, 200, 400, 800)], windows=4)
    assert record.status == "unstable"
    assert record.reason == "throughput of 3 windows is up to 71% off their mean, expected 10% at most"
    assert record.throughput is not None


def test_a_rate_beyond_what_a_server_can_do_is_never_stable() -> None:
    @sonic.service(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"}, instances=1)
    def slow(x):  # type: ignore[no-untyped-def]
        time.sleep(0.004)
        return x

    # Windows agree even where the machine stalls in one of them.
    settings = LoadSettings(rate=400.0, arrivals="constant", warmup_s=0.1, window_s=0.2, tolerance=5.0)
    with sonic.serve(slow) as server:
        record = measure("slow", server.grpc_url, settings)
    assert record.status == "unstable"
    assert len(record.windows) == 3
    assert "more requests are due than are answered" in record.reason


def test_what_a_server_counts_in_another_time_than_the_windows_is_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks_s = count(step=0.1)  # each look at the clock takes as long
    slices = Slices(*[slice_of(100)] * 3)
    monkeypatch.setattr("sonic.study.load.windows.Crew", slices)
    monkeypatch.setattr("sonic.study.load.server.clock", lambda: slices.now_s + next(looks_s))
    record = measure("echo", server.grpc_url, LoadSettings(warmup_s=0.0, window_s=0.25))
    assert record.status == "measured"
    assert [window.server_cpu_s for window in record.windows] == [None] * 3
    assert [window.server for window in record.windows] == [None] * 3
    assert record.reason == (
        "of the server 3 of 3 windows say nothing, since its counters were read 0.55 s apart and a window has 0.25 s: "
        "give longer windows"
    )


def test_errors_of_some_are_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, *[slice_of(90, 10)] * 3)
    assert (record.status, record.reason) == ("measured", "30 of 300 requests failed, the first: no")


def test_errors_of_all_are_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, slice_of(90), slice_of(0, 7), slice_of(90))
    assert (record.status, record.reason) == ("failed", "all of 7 requests failed, the first: no")
    assert len(record.windows) == 1


def test_a_server_that_hangs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, *[slice_of(0)] * 3, windows=3)
    assert (record.status, record.reason) == ("failed", "no request ended in 0.75 s")
    assert record.throughput is None


def test_a_process_that_is_lost(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    record = measured(server, monkeypatch, slice_of(90))
    assert (record.status, record.reason) == ("failed", "there are no more slices")


def test_interrupted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(glance: Glance) -> None:
        if glance.windows == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("sonic.study.load.windows.Crew", Slices(*[slice_of(50)] * 9))
    settings = LoadSettings(warmup_s=0.0, window_s=0.25)
    record = measure("echo", server.grpc_url, settings, progress=interrupt)
    assert (record.status, len(record.windows)) == ("interrupted", 2)
    assert record.throughput is not None


def test_seconds_of_modules_are_of_an_event(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = [slice_of(90) for _ in range(3)]
    tallies[1].seconds.update({"events": 10.0, "module_s.a": 5.0})
    tallies[2].seconds.update({"events": 30.0, "module_s.a": 7.0})
    details = measured(server, monkeypatch, *tallies).details
    assert details["module_s.a"] == 0.3
    assert details["instances"] >= 1  # what else is known stays


class Liar(BaseHTTPRequestHandler):
    """Has a model, it says, and answers every request with nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        x, y = ({"name": name, "datatype": "FP32", "shape": [1]} for name in "xy")
        self._say({"name": "m", "platform": "p", "inputs": [x], "outputs": [y]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"model_name": "m", "outputs": []})

    def _say(self, document: object) -> None:
        text = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


class Bare(Liar):
    """Answers, and has neither statistics nor metrics."""

    def do_GET(self) -> None:
        if self.path.endswith("/models/m"):
            super().do_GET()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        y = {"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}
        self._say({"model_name": "m", "outputs": [y]})


@contextmanager
def listening(handler: type[Liar]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_of_a_server_that_counts_nothing_the_process_tells_its_processor_time() -> None:
    pytest.importorskip("psutil")
    with listening(Bare) as url:
        record = measure("m", url, LoadSettings(warmup_s=0.0, window_s=0.3, tolerance=10.0))
    assert (record.status, record.reason) == ("measured", "")
    assert [window.server for window in record.windows] == [None] * 3
    assert sum(window.server_cpu_s or 0.0 for window in record.windows) > 0
    assert value(record, "server_cpu_us") is not None


def test_a_server_whose_answers_are_none() -> None:
    with listening(Liar) as url:
        record = measure("m", url, LoadSettings(warmup_s=0.0, window_s=0.1))
    assert (record.status, record.reason) == ("failed", f"{url} answers for m with nothing, expected y")


def test_what_cannot_begin(server: Server, tmp_path: Path) -> None:
    here, there = (measure("echo", f"grpc://{host}:1") for host in ("127.0.0.1", "no-such-host.invalid"))
    assert "Connection refused" in here.reason
    assert "server" not in here.settings
    assert there.settings["server"] == "grpc://no-such-host.invalid:1"
    relayed = measure("echo", "grpc://127.0.0.1:1", direct="grpc://localhost:2")
    assert "localhost:2" in relayed.reason
    assert "127.0.0.1:1" not in relayed.reason
    assert "server" not in relayed.settings
    nowhere = measure("echo", server.grpc_url, metrics="http://127.0.0.1:1/metrics")
    assert nowhere.status == "failed"
    assert "http://127.0.0.1:1/metrics" in nowhere.reason
    missing = measure("nope", server.grpc_url)
    assert (missing.status, missing.reason) == (
        "failed",
        "Request for unknown model: 'nope' is not found: there is echo, large",
    )
    for wrong in ({"chunk_size": 0}, {"threads": 0}, {"streams": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is 1 or more; given 0"):
            Job("w", (), **wrong)
    assert "no workflow file" in measure(Job(str(tmp_path / "no.py"), ()), server.grpc_url).reason
    with pytest.raises(ConfigError, match="names a model"):
        measure("echo", f"{server.grpc_url}/echo")
    with pytest.raises(ConfigError, match="jobs of w are a closed loop"):
        measure(Job("w", ()), server.grpc_url, LoadSettings(rate=1.0))
