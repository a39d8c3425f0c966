"""The benchmark as a whole, short."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.server import other_servers
from benchmarks.server.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
needs_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")


def _run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.server", *options]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=100
    )


@needs_h2load
@needs_cores
def test_a_case_is_measured_by_each_protocol_and_written_down(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    options = ["--cases", "dense16", "--transports", "grpc,http-unix-shm", "--clients", "2", "--servers", "sonic"]
    done = _run(*options, "--seconds", "1", "--repeats", "1", "--json", str(found))
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(found.read_text())
    assert {(point["transport"], point["clients"]) for point in written["points"]} == {
        ("grpc", 2),
        ("http-unix-shm", 2),
    }
    for point in written["points"]:
        assert point["error"] == ""
        assert point["samples"][0]["per_s"] > 0
        assert 0 < point["samples"][0]["load_cores"] < 1.1
    assert written["in_process"]["dense16"][0]["per_s"] > 0
    assert "dense, [16,15]" in done.stdout


@needs_h2load
@needs_cores
def test_no_server_is_left_by_a_run_that_is_terminated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.server", "--cases", "dense16", "--servers", "sonic"]
    command += ["--transports", "http", "--clients", "1", "--seconds", "1", "--json", str(tmp_path / "found.json")]
    command += ["--repeats", "1"]
    run = psutil.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout as lines:
        assert any("sonic: dense16" in line for line in lines)  # the server is up
        servers = run.children()
        assert servers
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
    assert psutil.wait_procs(servers, timeout=10)[1] == []


@needs_cores
def test_without_h2load_nothing_is_started(tmp_path: Path) -> None:
    done = _run("--cases", "dense16", "--servers", "sonic", "--json", str(tmp_path / "found.json"), PATH=str(tmp_path))
    assert done.returncode == 2
    assert "h2load is not installed" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--cases", "dense16,dense17"], "no dense17; there are dense16, "),
        (["--transports", "smoke"], "no smoke; there are grpc, "),
        (["--servers", "apache"], "no apache; there are sonic, "),
        (["--clients", "0"], "numbers from 1, separated by commas; given 0"),
        (["--clients", "many"], "numbers from 1, separated by commas; given many"),
    ],
)
def test_what_there_is_not_is_refused(options: list[str], what: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert what in " ".join(capsys.readouterr().err.split())


@needs_cores
def test_a_server_that_is_not_installed_is_named_with_how_to_get_it(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(other_servers, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--servers", "sonic,kserve"])
    assert main() == 2
    assert "kserve is not installed: make bench-peers" in capsys.readouterr().out
