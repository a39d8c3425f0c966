"""The console script as a process, as cmsTriton and SuperSONIC start it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import trustme
from tritonclient.utils import InferenceServerException

import sonic.server.tritonserver  # noqa: F401 - its module `main`, which a function hides
from sonic.server.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE = "from sonic.server.tritonserver import main; main()"
SCRIPT = Path(sys.executable).with_name("sonic-tritonserver")
PORTS = ("--http-port=0", "--grpc-port=0", "--metrics-port", "0")


@contextmanager
def running(*flags: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, str], list[str]]]:
    """A server, its addresses by service, and what it logged until it was up."""
    command = [sys.executable, "-c", CODE, *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        addresses: dict[str, str] = {}
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"\] Started (.+) at (\S+)$", line):
                addresses[match[1]] = match[2].replace("0.0.0.0", "127.0.0.1")
            if "Metrics Service" in addresses or ("--allow-metrics=0" in flags and "HTTPService" in addresses):
                break
        yield process, addresses, lines
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def test_serves_and_drains(folder: Any) -> None:
    folder.identity("i", "FP32", batch=4)
    with running(f"--model-repository={folder.path}", *PORTS, "--id=west", "--nope=3") as (process, at, lines):
        assert list(at) == ["GRPCInferenceService", "HTTPService", "Metrics Service"]
        assert re.fullmatch(r"W\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ main\.py:\d+\] --nope is ignored: .*\n", lines[0])
        assert "model 'i' version 1: READY" in "".join(lines)
        assert " at 0.0.0.0:" in lines[-1]
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        assert client.get_server_metadata().name == "west"
        tensor = triton.InferInput("in0", [1, 2], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
        assert client.infer("i", [tensor]).as_numpy("out0").tolist() == [[1, 1]]
        with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
            client.load_model("i")
        client.close()
        assert httpx.get(f"http://{at['HTTPService']}/v2/health/ready").status_code == 200
        assert "nv_inference_count" in httpx.get(f"http://{at['Metrics Service']}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "SIGTERM: Waiting for in-flight requests to complete, up to 30 s" in process.stderr.read()


def test_a_model_that_hangs_does_not_hold_up_the_end(folder: Any) -> None:
    config = """backend: "python" input { name: "x" data_type: TYPE_FP32 dims: 1 }
        output { name: "y" data_type: TYPE_FP32 dims: 1 }"""
    (folder.add("m", config) / "model.py").write_text("""
import threading
import time

class TritonPythonModel:
    def execute(self, requests):
        threading.Thread(target=time.sleep, args=(100,)).start()
        print("executes", flush=True)
        time.sleep(100)
""")
    with running(f"--model-repository={folder.path}", *PORTS, "--exit-timeout-secs=0") as (process, at, _):
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        tensor = triton.InferInput("x", [1], "FP32")
        tensor.set_data_from_numpy(np.ones(1, np.float32))
        ended: SimpleQueue[Any] = SimpleQueue()
        client.async_infer("m", [tensor], lambda result, error: ended.put(error))
        assert process.stdout is not None
        assert process.stdout.readline() == "executes\n"
        process.send_signal(signal.SIGTERM)
        assert ended.get(timeout=30).status() == "StatusCode.UNAVAILABLE"
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert "the time to end in was over before all requests had ended" in process.stderr.read()
        client.close()


def test_explicit_control(folder: Any) -> None:
    folder.identity("a", "FP32")
    folder.identity("b", "FP32")
    flags = (f"--model-repository={folder.path}", *PORTS, "--model-control-mode=explicit", "--load-model=a")
    with running(*flags, "--allow-metrics=0") as (process, at, _):
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        assert client.is_model_ready("a")
        assert not client.is_model_ready("b")
        client.load_model("b")
        client.unload_model("a")
        assert not client.is_model_ready("a")
        assert client.is_model_ready("b")
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_supersonic_s_start_command(folder: Any, other_folder: Any) -> None:
    folder.identity("a", "FP32")
    other_folder.identity("b", "FP32")
    repositories = [f"--model-repository={one.path}" for one in (folder, other_folder)]
    flags = ["--allow-gpu-metrics=true", "--log-verbose=0", "--strict-model-config=false", "--exit-timeout-secs=60"]
    with running(*repositories, *flags, *PORTS) as (process, at, lines):
        assert not [line for line in lines if not line.startswith("I")]
        assert httpx.get(f"http://{at['HTTPService']}/v2/health/ready").status_code == 200
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        index = client.get_model_repository_index().models
        client.close()
        assert [(row.name, row.state) for row in index] == [("a", "READY"), ("b", "READY")]
        metrics = httpx.get(f"http://{at['Metrics Service']}/metrics").text
        for name in ("queue_duration_us", "exec_count", "count"):
            assert re.search(rf'^nv_inference_{name}{{model="a",version="1"}} 0', metrics, re.MULTILINE), name
        assert re.search(r"^nv_gpu_utilization{", metrics, re.MULTILINE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "complete, up to 60 s" in process.stderr.read()


@pytest.mark.skipif(not SCRIPT.exists(), reason="the console script is not installed")
def test_supersonic_s_shell_finds_the_server_by_a_link(folder: Any, tmp_path: Path) -> None:
    link = tmp_path / "opt" / "tritonserver" / "bin" / "tritonserver"
    link.parent.mkdir(parents=True)
    link.symlink_to(SCRIPT)
    lines = [f"exec {link}", f"--model-repository={folder.path}", "--log-verbose=0", "--exit-timeout-secs=60", *PORTS]
    command = ["/bin/sh", "-c", " \\\n".join(lines)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        assert any("Started GRPCInferenceService at" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


def test_cmstriton_s_start_command(folder: Any) -> None:
    folder.identity("a", "FP32")
    folder.identity("b", "FP32")
    flags = ["--log-verbose=1", "--log-error=1", "--log-warning=1", "--log-info=1", "--model-control-mode=explicit"]
    models = ["--load-model=a", "--load-model=b"]
    with running(f"--model-repository={folder.path}", *PORTS, *flags, *models) as (_, at, lines):
        (started,) = [line for line in lines if "Started GRPCInferenceService" in line]
        assert started.startswith("I")
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        assert client.is_model_ready("a")
        assert client.is_model_ready("b")
        client.close()


def test_tls_traces_and_sockets(folder: Any, tmp_path: Path) -> None:
    folder.identity("i", "FP32")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca")
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(tmp_path / "key")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    flags = ["--grpc-use-ssl=true", f"--grpc-server-cert={tmp_path}/cert", f"--grpc-server-key={tmp_path}/key"]
    flags += ["--trace-config", f"triton,file={tmp_path}/traces", "--trace-config=level=TIMESTAMPS"]
    flags += ["--trace-config", "rate=1", "--cores=1", "--max-queue=10", "--allow-client-shm=false"]
    with tempfile.TemporaryDirectory(prefix="sonic-") as short:  # a socket's path has at most 103 bytes
        flags += [f"--http-socket={short}/h.sock"]
        with running(f"--model-repository={folder.path}", *PORTS, *flags) as (_, at, lines):
            assert not [line for line in lines if not line.startswith("I")]
            url = at["GRPCInferenceService"]
            client = triton.InferenceServerClient(url, ssl=True, root_certificates=str(tmp_path / "ca"))
            tensor = triton.InferInput("in0", [1], "FP32")
            tensor.set_data_from_numpy(np.ones(1, np.float32))
            assert client.infer("i", [tensor], request_id="7").as_numpy("out0").tolist() == [1]
            with pytest.raises(InferenceServerException, match="--no-allow-client-shm"):
                client.register_system_shared_memory("r", "/r", 8)
            client.close()
            plain = triton.InferenceServerClient(url)
            with pytest.raises(InferenceServerException):
                plain.is_server_live(client_timeout=10)
            plain.close()
            assert httpx.get(f"http://{at['HTTPService']}/v2/health/ready").status_code == 200
            with httpx.Client(transport=httpx.HTTPTransport(uds=f"{short}/h.sock")) as over_socket:
                assert over_socket.get("http://localhost/v2/health/live").status_code == 200
            assert [trace["request_id"] for trace in json.loads((tmp_path / "traces").read_text())] == ["7"]


def test_limits_and_the_cache(folder: Any) -> None:
    folder.identity("i", "FP32", extra="response_cache { enable: true }")
    flags = ("--cache-config=local,size=10000", "--max-message-bytes=4000")
    with running(f"--model-repository={folder.path}", *PORTS, *flags) as (_, at, _):
        client = triton.InferenceServerClient(at["GRPCInferenceService"])
        tensor = triton.InferInput("in0", [1], "FP32")
        tensor.set_data_from_numpy(np.ones(1, np.float32))
        for _ in range(3):
            client.infer("i", [tensor])
        statistics = client.get_inference_statistics("i").model_stats[0]
        assert (statistics.execution_count, statistics.inference_stats.cache_hit.count) == (1, 2)
        large = triton.InferInput("in0", [1000], "FP32")
        large.set_data_from_numpy(np.ones(1000, np.float32))
        with pytest.raises(InferenceServerException, match="holds at most 4000 bytes"):
            client.infer("i", [large])
        client.close()


def test_an_empty_repository_is_served(folder: Any) -> None:
    with running(f"--model-repository={folder.path}", *PORTS) as (_, at, _):
        assert httpx.get(f"http://{at['HTTPService']}/v2/health/ready").status_code == 200


@pytest.mark.parametrize("front", ["http", "grpc", "metrics"])
def test_a_port_that_is_taken(front: str, folder: Any) -> None:
    folder.identity("i", "FP32")
    with listen("127.0.0.1", 0, "--http-port") as taken:
        ports = [flag for flag in ("--http-port=0", "--grpc-port=0", "--metrics-port=0") if front not in flag]
        flags = [f"--model-repository={folder.path}", *ports, f"--{front}-port={taken.getsockname()[1]}"]
        command = [sys.executable, "-c", CODE, *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.search(rf"^E\d{{4}} .*\] Address already in use: port \d+ .* --{front}-port", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--model-repository=/nowhere/at/all"], "no model repository /nowhere/at/all"),
        ([], "no model repository is given"),
        (["--model-repository=/", "--log-file=/nowhere/log"], "cannot write --log-file"),
        (["--model-repository=/", "--grpc-restricted-protocol=health:a=b"], "is not offered, and ignoring it"),
        (
            ["--model-repository=/", "--grpc-use-ssl=1", "--grpc-server-cert=/no/c", "--grpc-server-key=/no/k"],
            "cannot read --grpc-server-cert /no/c: No such file or directory",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_status_1(flags: list[str], error: str) -> None:
    command = [sys.executable, "-c", CODE, *flags, *PORTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert error in done.stderr


def test_a_model_that_cannot_be_loaded(folder: Any) -> None:
    folder.identity("good", "FP32")
    folder.onnx("bad", b"broken")
    flags = (f"--model-repository={folder.path}", *PORTS)
    done = subprocess.run([sys.executable, "-c", CODE, *flags], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "model 'bad' version 1 cannot be loaded" in done.stderr
    for strict, status in ((1, 503), (0, 200)):
        more = ("--exit-on-error=false", f"--strict-readiness={strict}")
        with running(*flags, *more) as (_, at, lines):
            assert httpx.get(f"http://{at['HTTPService']}/v2/health/ready").status_code == status
            assert httpx.get(f"http://{at['HTTPService']}/v2/models/good/ready").status_code == 200
            assert "model 'bad' version 1: UNAVAILABLE" in "".join(lines)


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "--model-repository" in done.stdout


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--grpc-port=7", "grpc_port", 7),
        ("--allow-grpc=false", "grpc_port", None),
        ("--http-port=7", "http_port", 7),
        ("--metrics-port=7", "metrics_port", 7),
        ("--http-address=h", "host", "h"),
        ("--grpc-address=h", "grpc_host", "h"),
        ("--metrics-address=h", "metrics_host", "h"),
        ("--cores=3", "cores", 3),
        ("--exit-on-error=false", "strict", False),
        ("--strict-readiness=false", "strict_readiness", False),
        ("--model-control-mode=explicit", "explicit", True),
        ("--model-control-mode=poll", "poll_s", 15),
        ("--repository-poll-secs=3", "poll_s", None),
        ("--backend-config=default-max-batch-size=7", "default_max_batch", 7),
        ("--max-queue=7", "max_queue", 7),
        ("--max-message-bytes=7", "max_message_bytes", 7),
        ("--cache-config=local,size=7", "cache_bytes", 7),
        ("--allow-client-shm=true", "allow_client_shm", True),
        ("--trace-config=triton,file=f", "trace_file", "f"),
        ("--trace-config=rate=7", "trace_settings", {"trace_rate": "7"}),
        ("--grpc-socket=g.sock", "grpc_socket", "g.sock"),
        ("--http-socket=h.sock", "http_socket", "h.sock"),
        ("--id=west", "name", "west"),
        ("--exit-timeout-secs=7", "drain_s", 7),
        ("--log-info=true", "grpc_tls", None),
        ("--log-info=true", "empty_ok", True),
        ("--log-info=true", "logs", "the settings of the log"),
    ],
)
def test_what_a_flag_says_reaches_the_server(
    flag: str, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = sys.modules["sonic.server.tritonserver.main"]
    given: dict[str, Any] = {}

    def run(start: Callable[[], object], *_: object, drain_s: float) -> bool:
        start()
        given["drain_s"] = drain_s
        return True

    monkeypatch.setattr(script, "Server", lambda *models, **options: given.update(options, models_of=models))
    monkeypatch.setattr(script.launch, "run", run)
    monkeypatch.setattr(script.logs, "set_up", lambda settings: "the settings of the log")
    assert script.run(["--model-repository=a", "--model-repository=b", flag]) == 0
    assert given[name] == value
    assert given["models_of"] == ("a", "b")
