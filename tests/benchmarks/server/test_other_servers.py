"""Other servers as they are started, with a stand-in for one: the real ones are not installed here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request

import pytest

from benchmarks.server import other_servers
from benchmarks.server.cases import CASES
from benchmarks.server.other_servers import PEERS, Peer, peer_server

STAND_IN = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.path + " " + open(sys.argv[1]).read()).encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    interpreter = tmp_path / "environments" / "package" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    monkeypatch.setattr(other_servers, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(other_servers, "_SCRIPTS", tmp_path)
    (tmp_path / "serve.py").write_text(STAND_IN)
    return Peer("other", "package", "serve.py", grpc=False)


def test_a_server_is_told_what_to_serve_and_where(stand_in, tmp_path) -> None:
    cases = [case for case in CASES if case.name in ("dense16", "dense16-batched", "dense16-waiting")]
    models = {case.name: tmp_path / case.name for case in cases}
    with peer_server(stand_in, cases, models, CORES, tmp_path) as target:
        path, _, told = urllib.request.urlopen(f"http://{target.http}/x", timeout=10).read().decode().partition(" ")
    assert path == "/x"
    assert json.loads(told) == [
        {"name": "dense16", "path": str(models["dense16"]), "max_batch_size": 0, "batching": ""},
        {
            "name": "dense16-batched",
            "path": str(models["dense16-batched"]),
            "max_batch_size": 1024,
            "batching": "dynamic_batching { }",
        },
        {
            "name": "dense16-waiting",
            "path": str(models["dense16-waiting"]),
            "max_batch_size": 1024,
            "batching": "dynamic_batching { max_queue_delay_microseconds: 100 }",
        },
    ]
    assert (target.name, target.grpc, target.shm) == ("other", "", False)


def test_a_server_that_cannot_start_is_quoted(stand_in, tmp_path) -> None:
    (tmp_path / "serve.py").write_text("raise SystemExit('no such model')")
    with pytest.raises(RuntimeError, match="other ended with status 1; its last lines:\nno such model"):
        peer_server(stand_in, CASES[:1], {"dense16": tmp_path}, CORES, tmp_path).__enter__()


def test_a_server_is_installed_once_its_environment_is_there(stand_in) -> None:
    assert stand_in.installed
    assert not Peer("other", "another-package", "serve.py").installed


def test_every_server_has_its_script() -> None:
    for peer in PEERS.values():
        assert (other_servers._SCRIPTS / peer.script).is_file()


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_backend_that_is_compiled_for_a_run_can_be() -> None:
    source = other_servers._SCRIPTS / "triton_onnxruntime.cc"
    done = subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
