from __future__ import annotations

import re
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from sonic.protocol.messages import InferRequest


def read(server: Any) -> tuple[dict[tuple[str, ...], float], dict[str, str]]:
    answer = httpx.get(server.metrics_url)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    kinds = {family.name: family.type for family in text_string_to_metric_families(answer.text)}
    samples = {}
    for line in answer.text.splitlines():  # prometheus_client's own parser would add _total to the names
        if match := re.fullmatch(r'(\w+)(?:\{model="(.*)",version="(.*)"\})? (\S+)', line):
            name, model, version, value = match.groups()
            samples[name, model or "", version or ""] = float(value)
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
    for name, value in (("request_success", 1), ("request_failure", 0), ("count", 3), ("exec_count", 1)):
        assert samples[f"nv_inference_{name}", "a", "1"] == value
    assert samples["nv_inference_request_failure", "scripted", "1"] == 1
    for part in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
        assert ("nv_inference_" + part + "_duration_us", "a", "1") in samples
    assert samples["nv_inference_request_duration_us", "a", "1"] > 0
    assert kinds["nv_inference_pending_request_count"] == "gauge"
    assert ("process_resident_memory_bytes", "", "") in samples


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


def test_odd_names_are_escaped(folder: Any, serve: Any) -> None:
    folder.onnx('a"b\\c')
    assert ("nv_inference_count", r"a\"b\\c", "1") in read(serve(folder))[0]


def test_nothing_else_is_there(folder: Any, serve: Any) -> None:
    folder.onnx("a")
    assert httpx.get(serve(folder).metrics_url.removesuffix("metrics")).status_code == 404
