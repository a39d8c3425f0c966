from __future__ import annotations

import re
import time
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from sonic.errors import DeadlineExceeded, ModelFailed
from sonic.protocol.messages import InferRequest
from sonic.server.machine.hardware import Gpu
from sonic.server.pages.metrics import Metrics


def read(server: Any) -> tuple[dict[tuple[str, ...], float], dict[str, str]]:
    answer = httpx.get(server.metrics_url)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    kinds = {family.name: family.type for family in text_string_to_metric_families(answer.text)}
    samples = {}
    for line in answer.text.splitlines():  # prometheus_client's own parser would add _total to the names
        if match := re.fullmatch(r'(\w+)(?:\{model="(.*?)"(?:,reason="(.*)")?,version="(.*?)"\})? (\S+)', line):
            name, model, reason, version, value = match.groups()
            samples[(name, model or "", version or "", *([reason] if reason else []))] = float(value)
    return samples, kinds


def test_tritons_names_count_what_happened(folder: Any, serve: Any, script: Any) -> None:
    folder.onnx("a")
    folder.scripted()
    server = serve(folder)
    infer = server.dataplane.infer
    infer(InferRequest("a", {"x": np.zeros((3, 4), np.float32)}))
    script.run = lambda x: 1 / 0
    infer(InferRequest("scripted", {"x": np.zeros((3, 2), np.float32)}))
    samples, kinds = read(server)
    for name, value in (("request_success", 1), ("count", 3), ("exec_count", 1)):
        assert samples[f"nv_inference_{name}", "a", "1"] == value
    for part in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
        assert ("nv_inference_" + part + "_duration_us", "a", "1") in samples
    assert samples["nv_inference_request_duration_us", "a", "1"] > 0
    assert kinds["nv_inference_pending_request_count"] == "gauge"
    assert ("process_resident_memory_bytes", "", "") in samples


def test_failures_have_a_reason(folder: Any, serve: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder)
    x = {"x": np.zeros((1, 2), np.float32)}
    script.hold()
    running = server.dataplane.infer(InferRequest("scripted", x), inline=False)
    script.wait_started()
    gone = server.dataplane.infer(InferRequest("scripted", x), inline=False)
    late = server.dataplane.infer(InferRequest("scripted", x, timeout_s=0.01), inline=False)
    assert isinstance(late.exception(10), DeadlineExceeded)
    assert gone.cancel()
    script.run = lambda x: 1 / 0
    script.release()
    assert isinstance(running.exception(10), ModelFailed)
    samples, kinds = read(server)
    reasons = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    counts = [samples["nv_inference_request_failure", "scripted", "1", reason] for reason in reasons]
    assert (counts, kinds["nv_inference_request_failure"]) == ([1, 1, 1, 0], "counter")


def test_requests_that_wait_are_seen(folder: Any, serve: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder)
    script.hold()
    for _ in range(3):
        server.dataplane.infer(InferRequest("scripted", {"x": np.zeros((1, 2), np.float32)}), inline=False)
        if not script.batches:
            script.wait_started()
    assert read(server)[0]["nv_inference_pending_request_count", "scripted", "1"] == 2
    script.release()


def test_only_models_with_a_cache_have_its_counters(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    assert "nv_cache" not in httpx.get(serve(folder).metrics_url).text
    folder.onnx("b", config="response_cache { enable: true }")
    samples, kinds = read(serve(folder, cache_bytes=1 << 20))
    assert kinds["nv_cache_num_hits_per_model"] == "counter"
    assert [model for name, model, *_ in samples if name == "nv_cache_num_misses_per_model"] == ["b"]


def test_odd_names_are_escaped(folder: Any, serve: Any) -> None:
    folder.onnx('a"b\\c')
    assert ("nv_inference_count", r"a\"b\\c", "1") in read(serve(folder))[0]


def test_what_executes_a_model_is_told(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    text = httpx.get(serve(folder).metrics_url).text
    assert 'sonic_model_info{model="a",platform="onnxruntime_onnx",version="1"} 1\n' in text


def test_nothing_else_is_there(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    assert httpx.get(serve(folder).metrics_url.removesuffix("metrics")).status_code == 404


def test_durations_are_microseconds_of_the_statistics(folder: Any, serve: Any, script: Any) -> None:
    folder.scripted()
    server = serve(folder)
    for rows in (1, 2, 3):
        server.dataplane.infer(InferRequest("scripted", {"x": np.zeros((rows, 2), np.float32)}))
    (statistics,) = server.dataplane.statistics("scripted")
    samples, kinds = read(server)
    for name, part in (
        ("request", statistics.success),
        ("queue", statistics.queue),
        ("compute_input", statistics.compute_input),
        ("compute_infer", statistics.compute_infer),
        ("compute_output", statistics.compute_output),
    ):
        assert part.count == 3
        assert samples[f"nv_inference_{name}_duration_us", "scripted", "1"] == part.total_ns // 1000
        assert kinds[f"nv_inference_{name}_duration_us"] == "counter"


def test_the_load_by_which_a_deployment_scales(folder: Any, serve: Any, script: Any) -> None:
    """The queries of SuperSONIC, over two scrapes; the time between them cancels out."""
    folder.scripted(batching="")
    server = serve(folder)

    def scrape() -> dict[str, float]:
        return {name: value for (name, model, *_), value in read(server)[0].items() if model == "scripted"}

    def submit() -> Any:
        request = InferRequest("scripted", {"x": np.zeros((1, 2), np.float32)})
        return server.dataplane.infer(request, inline=False)

    def grown(before: dict[str, float], after: dict[str, float], what: str) -> float:
        return after[f"nv_inference_{what}"] - before[f"nv_inference_{what}"]

    def queue_ms(before: dict[str, float], after: dict[str, float]) -> float:
        waited_us, executions = (grown(before, after, what) for what in ("queue_duration_us", "exec_count"))
        return waited_us / (executions * 1000 + 0.001)

    start = scrape()
    script.hold()
    futures = [submit() for _ in range(4)]
    script.wait_started()
    since_s = time.perf_counter()
    assert scrape()["nv_inference_pending_request_count"] == 3
    waited_ms = 1000 * (time.perf_counter() - since_s)
    script.release()
    for future in futures:
        future.result(10)
    busy = scrape()
    assert queue_ms(start, start) == 0
    assert queue_ms(start, busy) > 0.75 * waited_ms  # three of four waited for longer than that
    assert grown(start, busy, "exec_count") == 4
    serving_us = grown(start, busy, "request_duration_us") - grown(start, busy, "queue_duration_us")
    computing_us = sum(grown(start, busy, f"compute_{part}_duration_us") for part in ("input", "infer", "output"))
    assert serving_us >= computing_us - 5  # each of the five is rounded down
    assert computing_us > 1000 * waited_ms  # the first of four was held as long


def test_without_a_gpu_there_is_one_series_for_the_server(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    server = serve(folder)
    text = httpx.get(server.metrics_url).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = families["nv_gpu_utilization"].samples
    assert sample.value == 0
    assert list(sample.labels) == ["gpu_uuid"]
    assert "nv_gpu_memory_total_bytes" not in families
    assert 0 <= families["nv_cpu_utilization"].samples[0].value <= 1
    used, total = (families[f"nv_cpu_memory_{what}_bytes"].samples[0].value for what in ("used", "total"))
    assert 0 < used < total


class FakeMachine:
    host_uuid = "CPU-0"

    def cpu_utilization(self) -> None:
        return None

    def memory_bytes(self) -> None:
        return None

    def gpus(self) -> tuple[Gpu, ...]:
        return Gpu("GPU-0", 0.5, 80, 8, 70.5, 300.0, 1e6), Gpu("GPU-1", 0.0, 40, 4)


def test_gpus_are_told_apart_and_what_is_unknown_is_left_out(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    text = Metrics(serve(folder).dataplane, FakeMachine()).expose().decode()
    for line in (
        'nv_gpu_utilization{gpu_uuid="GPU-0"} 0.5',
        'nv_gpu_utilization{gpu_uuid="GPU-1"} 0.0',
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 40',
        'nv_gpu_power_usage{gpu_uuid="GPU-0"} 70.5',
        'nv_energy_consumption{gpu_uuid="GPU-0"} 1000000.0',
    ):
        assert line in text.splitlines()
    assert 'nv_gpu_power_usage{gpu_uuid="GPU-1"}' not in text
    assert "CPU-0" not in text
    assert "nv_cpu" not in text
