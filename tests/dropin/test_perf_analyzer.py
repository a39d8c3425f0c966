"""Triton's ``perf_analyzer``, unmodified, where there is one that runs: on the path, or as PERF_ANALYZER says."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = os.environ.get("PERF_ANALYZER") or shutil.which("perf_analyzer")
SHORT = ("--measurement-mode", "count_windows", "--measurement-request-count", "20", "-s", "999", "-r", "3")


@pytest.fixture(scope="module")
def program() -> str:
    if PROGRAM is None:
        pytest.skip("perf_analyzer is not installed")
    tried = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        pytest.skip(f"perf_analyzer does not run here: {tried.stderr.strip()}")
    return PROGRAM


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("grpc", ()),
        ("http", ()),
        ("grpc", ("--shared-memory", "system", "--output-shared-memory-size", "1024")),
        ("http", ("--shared-memory", "system", "--output-shared-memory-size", "1024")),
        ("grpc", ("--async", "--streaming", "--concurrency-range", "2")),
        ("grpc", ("--async", "--concurrency-range", "4", "--grpc-compression-algorithm", "gzip")),
        ("http", ("--async", "--concurrency-range", "4")),
        ("http", ("--request-rate-range", "50")),
    ],
)
@pytest.mark.parametrize("model", ["simple", "simple_identity"])
def test_measures(model: str, kind: str, options: tuple[str, ...], program: str, server: Any, tmp_path: Path) -> None:
    running, _ = server("open")
    url = (running.grpc_url if kind == "grpc" else running.http_url).partition("//")[2]
    shape = ("--shape", "INPUT0:3", "--string-length", "5") if model == "simple_identity" else ()
    report = tmp_path / "report.csv"
    command = [program, "-m", model, "-i", kind, "-u", url, "-b", "4", *shape, *options, *SHORT, "-f", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for trouble in ("Failed", "Unable", "error:", "Thread ["):
        assert trouble not in said, said
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert float(row["Inferences/Second"]) > 0
    counted = re.search(r"Successful request count: (\d+)", said)  # the server's, by its statistics
    assert counted is not None, said
    assert int(counted[1]) > 0


def test_the_server_s_metrics_are_read(program: str, server: Any) -> None:
    running, _ = server("open")
    url, metrics = running.grpc_url.partition("//")[2], running.metrics_url.partition("//")[2]
    command = [program, "-m", "simple", "-i", "grpc", "-u", url, "--collect-metrics", "--metrics-url", metrics, *SHORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Avg GPU Utilization" in done.stdout
